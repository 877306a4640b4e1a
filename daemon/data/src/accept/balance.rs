//! Which worker serves a connection: the one that accepted it, unless another has far fewer streams.

use std::cell::Cell;
use std::sync::Arc;

use crate::core::{Accepted, Command, Core};

/// A connection goes to another worker when this one has so many more streams than that one.
const IMBALANCE: usize = 16;

/// Compares this worker with two random ones: the power of two choices (Mitzenmacher 2001).
#[derive(Debug)]
pub(super) struct Balance {
    /// State of the generator (xorshift64, Marsaglia 2003); the same sequence in each run.
    random: Cell<u64>,
}

impl Balance {
    /// For the worker with this number.
    pub(super) fn new(number: u8) -> Self {
        Self {
            random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ u64::from(number)),
        }
    }

    /// Returns a connection that is to be served here; others are sent to a less busy worker.
    pub(super) fn keep(&self, core: &Core, accepted: Accepted) -> Option<Accepted> {
        let here = core.table.streams();
        if here <= IMBALANCE {
            return Some(accepted);
        }
        let candidates = (0..2).filter_map(|_| core.peers.get(self.random() % core.peers.len()));
        let lighter = candidates
            .filter(|peer| !peer.is_stuck() && !peer.is_closed())
            .min_by_key(|peer| peer.streams());
        match lighter {
            Some(peer)
                if peer.streams() + IMBALANCE + here / 8 < here
                    && !Arc::ptr_eq(peer, &core.mailbox) =>
            {
                match peer.send(Command::Adopt(Box::new(accepted))) {
                    Err(Command::Adopt(accepted)) => Some(*accepted),
                    Ok(()) | Err(_) => None,
                }
            }
            _ => Some(accepted),
        }
    }

    fn random(&self) -> usize {
        let mut next = self.random.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        self.random.set(next);
        usize::try_from(next >> 33).unwrap_or(0)
    }
}
