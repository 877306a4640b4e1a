//! Batches of received datagrams, as a handler gets them.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use polyport_abi as abi;
use polyport_abi::PpDatagram;

use crate::id::Id;
use crate::stream::Address;

/// Datagrams of one sender that were received one after the other.
#[derive(Debug, Clone, Copy)]
pub struct IncomingRun<P> {
    /// The id of the sender during the callback.
    pub peer: Id,
    /// The sender.
    pub from: Address,
    /// The local address that they were sent to.
    pub to: Address,
    /// Their payloads.
    pub payloads: P,
}

/// The payload of a received datagram.
#[derive(Debug, Clone, Copy)]
pub struct IncomingPayload<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// Did the kernel cut it?
    pub truncated: bool,
}

/// Memory for batches, used again for each.
#[derive(Debug, Default)]
pub struct BatchBuffer(Vec<PpDatagram>);

/// A batch in the form of the ABI; borrows the datagrams' bytes.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(crate) datagrams: &'a [PpDatagram],
    bytes: PhantomData<&'a [u8]>,
}

impl BatchBuffer {
    /// Makes a batch; `now` is the time of receipt, nanoseconds.
    pub fn fill<'a, P: Iterator<Item = IncomingPayload<'a>>>(
        &'a mut self,
        now: u64,
        all: impl Iterator<Item = IncomingRun<P>>,
    ) -> Batch<'a> {
        self.0.clear();
        for run in all {
            let like = PpDatagram {
                ptr: ptr::null(),
                len: 0,
                peer: run.peer.raw(),
                from: run.from.to_abi(),
                to: run.to.to_abi(),
                received: now,
                flags: 0,
                reserved: 0,
            };
            self.0.extend(run.payloads.map(|payload| PpDatagram {
                ptr: payload.bytes.as_ptr().cast::<c_void>(),
                len: payload.bytes.len(),
                flags: if payload.truncated {
                    abi::PP_DATAGRAM_TRUNCATED
                } else {
                    0
                },
                ..like
            }));
        }
        Batch {
            datagrams: &self.0,
            bytes: PhantomData,
        }
    }
}

impl<'a> Batch<'a> {
    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// The datagrams, as they were filled in.
    pub fn payloads(&self) -> impl Iterator<Item = IncomingPayload<'a>> + use<'a> {
        self.datagrams.iter().map(|datagram| {
            let (first, len) = (datagram.ptr.cast::<u8>(), datagram.len);
            // SAFETY: `fill` took pointer and length from a slice that is borrowed for `'a`.
            let bytes = unsafe { std::slice::from_raw_parts(first, len) };
            IncomingPayload {
                bytes,
                truncated: datagram.flags & abi::PP_DATAGRAM_TRUNCATED != 0,
            }
        })
    }

    /// Its parts of one sender each, in order, with the sender's id.
    pub fn runs(&self) -> impl Iterator<Item = (Id, Self)> + use<'a> {
        let parts = self.datagrams.chunk_by(|one, next| one.peer == next.peer);
        parts.map(|datagrams| {
            let part = Self {
                datagrams,
                bytes: PhantomData,
            };
            (
                Id::from_raw(datagrams.first().map_or(0, |one| one.peer)),
                part,
            )
        })
    }
}
