//! A datagram socket inside a callback: answering, sending, closing.

use std::ffi::CStr;
use std::marker::PhantomData;

use polyport_abi::{PP_CLOSE_FLUSH, PpId};

use super::outgoing::send_all;
use super::{Batch, Datagram, Outgoing, Peer, Sent, reply_each};
use crate::ids::{SocketId, StreamId, Target};
use crate::outside::owner_functions;
use crate::status::Result;
use crate::stream::{Stream, attribute, close};

/// A datagram socket inside a callback; it cannot leave it. What needs the `[io]` context is done
/// here.
#[derive(Debug)]
pub struct Socket<'a> {
    id: SocketId,
    /// Lives for one callback, on its thread.
    callback: PhantomData<(&'a (), *mut ())>,
}

impl<'a> Socket<'a> {
    /// Its id, to be kept for [`SocketId::wake`] or a [`mailbox`](crate::mailbox::mailbox()).
    /// `[any]`
    #[must_use]
    pub const fn id(&self) -> SocketId {
        self.id
    }

    /// Answers each datagram of the batch for which `answer` has something to say: up to 128 of
    /// them by one call, and without an allocation. What there is no room for is dropped. `[io]`
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

    /// Sends datagrams in order and says how many were taken; the rest is yours, wait for
    /// `on_writable`. `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if none may be sent, `GONE` after the end.
    #[inline]
    pub fn send(&mut self, datagrams: &[Outgoing<'_>]) -> Result<usize> {
        send_all(self.id.0, datagrams)
    }

    /// Ends a dialled socket after the callback returned; `why` goes to the log. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` for a socket of a listener.
    pub fn close(&mut self, why: &str) -> Result<()> {
        close(self.id.0, PP_CLOSE_FLUSH, why)
    }

    /// A fact by its name: `listener`, `service`. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if this socket has no such fact.
    pub fn attribute(&self, name: &CStr) -> Result<&'a [u8]> {
        attribute(self.id.0, name)
    }

    /// A fact about who sent a datagram of this batch: `unix.path`, empty for an unnamed one.
    /// `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if this peer has no such fact.
    pub fn peer_attribute(&self, peer: Peer<'a>, name: &CStr) -> Result<&'a [u8]> {
        attribute(peer.id, name)
    }

    /// A stream of the family, such as one that this socket dialled. `[io]`
    #[must_use]
    pub fn relative(&mut self, id: StreamId) -> Stream<'_> {
        Stream::new(id.0)
    }

    /// Another socket of the family, such as one that this socket dialled. `[io]`
    #[must_use]
    pub fn relative_socket(&mut self, id: SocketId) -> Socket<'_> {
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
