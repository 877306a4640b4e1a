//! Ids: the only way in which a plugin names something of the host.
//!
//! Layout, high to low: kind 4 bits, worker 8, slot 20, version 32. The version of a slot grows each time that
//! the slot is used again, so an id of something that has ended never names what came after it.

use std::fmt;

/// What an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A handler with its configuration.
    Instance = 1,
    /// A byte stream.
    Stream = 2,
    /// A datagram socket.
    Socket = 3,
    /// The sender of a datagram, during one callback.
    Peer = 4,
    /// A hook that goes on after it returned.
    Operation = 5,
    /// The datagrams between two addresses.
    Flow = 6,
}

/// An id as it crosses the ABI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(u64);

/// The worker number in ids of things that belong to no worker (instances and operations).
pub const NO_WORKER: u8 = 0xff;
/// Slots a worker can have: what fits into the slot's bits.
pub const SLOTS_MAX: u32 = 1 << 20;

impl Id {
    /// Names nothing.
    pub const NONE: Self = Self(0);

    /// Composes an id; a slot of [`SLOTS_MAX`] or more is cut to its low bits.
    #[must_use]
    pub const fn new(kind: Kind, worker: u8, slot: u32, version: u32) -> Self {
        let slot = slot & (SLOTS_MAX - 1);
        Self((kind as u64) << 60 | (worker as u64) << 52 | (slot as u64) << 32 | version as u64)
    }

    /// Takes what a plugin or the kernel gave back; it may name nothing.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// As it crosses the ABI.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// What it names; `None` when no such kind exists.
    #[must_use]
    pub const fn kind(self) -> Option<Kind> {
        match self.0 >> 60 {
            1 => Some(Kind::Instance),
            2 => Some(Kind::Stream),
            3 => Some(Kind::Socket),
            4 => Some(Kind::Peer),
            5 => Some(Kind::Operation),
            6 => Some(Kind::Flow),
            _ => None,
        }
    }

    /// The worker that owns it, or [`NO_WORKER`].
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the bits above are cut on purpose"
    )]
    pub const fn worker(self) -> u8 {
        (self.0 >> 52) as u8
    }

    /// Its place in the table of its worker.
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & (SLOTS_MAX - 1)
    }

    /// The same slot as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot() as usize
    }

    /// Which use of the slot is meant.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is meant")]
    pub const fn version(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// `stream 1:42.7` = worker 1, slot 42, version 7; in logs and listings.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind() {
            Some(Kind::Instance) => "instance",
            Some(Kind::Stream) => "stream",
            Some(Kind::Socket) => "socket",
            Some(Kind::Peer) => "peer",
            Some(Kind::Operation) => "operation",
            Some(Kind::Flow) => "flow",
            None => return write!(f, "no such thing ({:#x})", self.0),
        };
        write!(
            f,
            "{kind} {}:{}.{}",
            self.worker(),
            self.slot(),
            self.version()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_back_what_it_was_made_of() {
        let id = Id::new(Kind::Stream, 3, SLOTS_MAX - 1, u32::MAX);
        assert_eq!(id.kind(), Some(Kind::Stream));
        assert_eq!(
            (id.worker(), id.slot(), id.version()),
            (3, SLOTS_MAX - 1, u32::MAX)
        );
        assert_eq!(Id::from_raw(id.raw()), id);
        assert_eq!(Id::NONE.kind(), None);
    }
}
