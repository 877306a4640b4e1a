//! A datagram socket inside a callback: replying, sending, closing.

use std::ffi::CStr;
use std::marker::PhantomData;

use polyport_abi::{PP_CLOSE_FLUSH, PpId};

use super::outgoing::send_all;
use super::{Batch, Datagram, Outgoing, Peer, Sent, reply_each};
use crate::ids::{SocketId, StreamId, Target};
use crate::owner::owner_functions;
use crate::status::Result;
use crate::stream::{Stream, attribute, close};

/// A datagram socket inside a callback; the value cannot leave it. Its methods need the `[io]`
/// context.
#[derive(Debug)]
pub struct Socket<'a> {
    id: SocketId,
    /// Valid for one callback, on its thread.
    callback: PhantomData<(&'a (), *mut ())>,
}

impl<'a> Socket<'a> {
    /// Its id, for [`SocketId::wake`] or a [`mailbox`](crate::mailbox::mailbox()). `[any]`
    #[must_use]
    pub const fn id(&self) -> SocketId {
        self.id
    }

    /// Replies to each datagram of the batch for which `answer` returns bytes: up to 128 by one
    /// call, without an allocation. Replies that do not fit are dropped. `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if none may be sent, `GONE` after the end.
    #[inline]
    pub fn reply_each<'b>(
        &mut self,
        batch: Batch<'b>,
        answer: impl FnMut(Datagram<'b>) -> Option<&'b [u8]>,
    ) -> Result<Sent> {
        reply_each(self.id.0, None, batch, answer)
    }

    /// Sends datagrams in order; returns the number accepted. For the rest, wait for `on_writable`.
    /// `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if none may be sent, `GONE` after the end.
    #[inline]
    pub fn send(&mut self, datagrams: &[Outgoing<'_>]) -> Result<usize> {
        send_all(self.id.0, datagrams)
    }

    /// Closes a dialled socket after the callback has returned; `why` is logged. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` for a socket of a listener.
    pub fn close(&mut self, why: &str) -> Result<()> {
        close(self.id.0, PP_CLOSE_FLUSH, why)
    }

    /// An attribute by name: `listener`, `service`. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if this socket has no such attribute.
    pub fn attribute(&self, name: &CStr) -> Result<&'a [u8]> {
        attribute(self.id.0, name)
    }

    /// An attribute of the sender of a datagram of this batch: `unix.path`, empty for an unnamed
    /// peer. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if this peer has no such attribute.
    pub fn peer_attribute(&self, peer: Peer<'a>, name: &CStr) -> Result<&'a [u8]> {
        attribute(peer.id, name)
    }

    /// A stream of the group, such as one that this socket dialled. `[io]`
    #[must_use]
    pub fn group_stream(&mut self, id: StreamId) -> Stream<'_> {
        Stream::new(id.0)
    }

    /// Another socket of the group, such as one that this socket dialled. `[io]`
    #[must_use]
    pub fn group_socket(&mut self, id: SocketId) -> Socket<'_> {
        Socket::new(id.0)
    }

    owner_functions!("[io]");

    pub(crate) const fn new(id: PpId) -> Self {
        Self {
            id: SocketId(id),
            callback: PhantomData,
        }
    }
}

impl Target for Socket<'_> {
    fn raw_id(&self) -> u64 {
        self.id.0
    }
}
