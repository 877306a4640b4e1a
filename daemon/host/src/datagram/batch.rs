//! Batches of datagrams, as a handler is shown them.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr;

use polyport_abi as abi;
use polyport_abi::PpDatagram;

use crate::id::Id;
use crate::stream::Address;

/// Datagrams that came from one sender, one after the other.
#[derive(Debug, Clone, Copy)]
pub struct IncomingRun<P> {
    /// Names the sender during the callback.
    pub peer: Id,
    /// The sender.
    pub from: Address,
    /// The local address that was asked.
    pub to: Address,
    /// What they say.
    pub pieces: P,
}

/// What one datagram says.
#[derive(Debug, Clone, Copy)]
pub struct IncomingPayload<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// Was it cut?
    pub truncated: bool,
}

/// Room for batches, used again and again.
#[derive(Debug, Default)]
pub struct BatchBuffer(Vec<PpDatagram>);

/// A batch as the ABI wants it; borrows the datagrams' bytes.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    pub(crate) datagrams: &'a [PpDatagram],
    bytes: PhantomData<&'a [u8]>,
}

impl BatchBuffer {
    /// Fills the room; `now` is the time of receipt, nanoseconds.
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
            self.0.extend(run.pieces.map(|piece| PpDatagram {
                ptr: piece.bytes.as_ptr().cast::<c_void>(),
                len: piece.bytes.len(),
                flags: if piece.truncated {
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

    /// Its parts from one sender each, in order, with the name of the sender.
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
