//! Datagrams to send, without an allocation.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use polyport_abi::{PpAddr, PpId, PpOut};

use super::{Batch, Datagram, Peer};
use crate::address::Address;
use crate::host::host;
use crate::ids::FlowId;
use crate::raw::lend;
use crate::status::{Result, Status};

/// One datagram to send; payload and addresses are borrowed.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Outgoing<'a> {
    raw: PpOut,
    lent: PhantomData<&'a [u8]>,
}

impl<'a> Outgoing<'a> {
    /// A reply to the sender of a datagram of this batch.
    #[must_use]
    #[inline]
    pub const fn to_peer(peer: Peer<'a>, data: &'a [u8]) -> Self {
        Self::new(data, peer.id, std::ptr::null())
    }

    /// To the peer of a flow.
    #[must_use]
    pub const fn to_flow(flow: FlowId, data: &'a [u8]) -> Self {
        Self::new(data, flow.0, std::ptr::null())
    }

    /// To an address.
    #[must_use]
    pub const fn to_address(to: &'a Address, data: &'a [u8]) -> Self {
        Self::new(data, 0, &raw const to.0)
    }

    /// To the peer of a dialled socket.
    #[must_use]
    pub const fn connected(data: &'a [u8]) -> Self {
        Self::new(data, 0, std::ptr::null())
    }

    /// From this local address instead of the one that the peer sent to.
    #[must_use]
    pub const fn from_address(mut self, from: &'a Address) -> Self {
        self.raw.from = &raw const from.0;
        self
    }

    const fn new(data: &'a [u8], peer: PpId, to: *const PpAddr) -> Self {
        let from = std::ptr::null();
        let raw = PpOut {
            data: lend(data),
            peer,
            to,
            from,
            flags: 0,
            reserved: 0,
        };
        Self {
            raw,
            lent: PhantomData,
        }
    }
}

/// The result of a batch of replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Accepted by the host.
    pub taken: usize,
    /// Dropped for lack of room, as a network may drop datagrams.
    pub dropped: usize,
}

/// Replies of one call; they are on the stack.
const AT_ONCE: usize = 128;

/// Replies to each datagram of a batch, by as few calls as possible.
pub(crate) fn reply_each<'b>(
    socket: PpId,
    peer: Option<FlowId>,
    batch: Batch<'b>,
    mut answer: impl FnMut(Datagram<'b>) -> Option<&'b [u8]>,
) -> Result<Sent> {
    let mut space = [const { MaybeUninit::<PpOut>::uninit() }; AT_ONCE];
    let mut datagrams = batch.iter();
    let mut sent = Sent::default();
    while datagrams.len() > 0 {
        let mut n = 0;
        for slot in &mut space {
            let Some((datagram, data)) = next_answer(&mut datagrams, &mut answer) else {
                break;
            };
            let to = match peer {
                Some(flow) => Outgoing::to_flow(flow, data),
                None => Outgoing::to_peer(datagram.peer(), data),
            };
            slot.write(to.raw);
            n += 1;
        }
        // SAFETY: the first `n` slots were written; their payloads outlive `'b`.
        let taken = unsafe { send(socket, space.as_ptr().cast(), n) }?;
        sent.taken += taken;
        sent.dropped += n - taken;
    }
    Ok(sent)
}

/// The next datagram with a reply, and the reply.
#[inline]
fn next_answer<'b>(
    datagrams: &mut impl Iterator<Item = Datagram<'b>>,
    answer: &mut impl FnMut(Datagram<'b>) -> Option<&'b [u8]>,
) -> Option<(Datagram<'b>, &'b [u8])> {
    datagrams.find_map(|datagram| Some((datagram, answer(datagram)?)))
}

/// Sends datagrams; returns the number accepted.
pub(crate) fn send_all(socket: PpId, datagrams: &[Outgoing<'_>]) -> Result<usize> {
    // SAFETY: `Outgoing` has the layout of `PpOut`; its payload and addresses outlive the call.
    unsafe { send(socket, datagrams.as_ptr().cast(), datagrams.len()) }
}

/// # Safety
///
/// `first` points to `n` elements whose payloads and addresses live until the call returns.
unsafe fn send(socket: PpId, first: *const PpOut, n: usize) -> Result<usize> {
    if n == 0 {
        return Ok(0);
    }
    // SAFETY: the caller's condition; the callers hold the context value of the socket.
    let code = unsafe { (host().send_datagrams)(socket, first, n, size_of::<PpOut>()) };
    match usize::try_from(code) {
        Ok(taken) => Ok(taken.min(n)),
        Err(_) => Err(Status::from_i64(code).into()),
    }
}
