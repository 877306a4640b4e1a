//! Ids. A plugin names objects of the host by ids only.
//!
//! Layout, high to low: kind 4 bits, worker 8, slot 20, version 32. The version of a slot grows with each
//! use of the slot, so the id of an object that has ended never names the next object in its slot.

use std::fmt;

/// Kinds of objects that have ids.
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

/// The worker number in ids of instances and operations, which belong to no worker.
pub const NO_WORKER: u8 = 0xff;
/// How many slots a worker can have: the bits of an id hold no more.
pub const SLOTS_MAX: u32 = 1 << 20;

impl Id {
    /// The id of no object.
    pub const NONE: Self = Self(0);

    /// An id of these parts; a slot of [`SLOTS_MAX`] or more is cut to its low bits.
    #[must_use]
    pub const fn new(kind: Kind, worker: u8, slot: u32, version: u32) -> Self {
        let slot = slot & (SLOTS_MAX - 1);
        Self((kind as u64) << 60 | (worker as u64) << 52 | (slot as u64) << 32 | version as u64)
    }

    /// An id that a plugin or the kernel gave back. It may be the id of no object.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number that crosses the ABI.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The kind of the object; `None` when no such kind exists.
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

    /// The worker that owns the object, or [`NO_WORKER`].
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the bits above are cut on purpose"
    )]
    pub const fn worker(self) -> u8 {
        (self.0 >> 52) as u8
    }

    /// The object's slot in the table of its worker.
    #[must_use]
    pub const fn slot(self) -> u32 {
        (self.0 >> 32) as u32 & (SLOTS_MAX - 1)
    }

    /// The same slot as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot() as usize
    }

    /// The version of the slot: which use of it.
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
    fn id_consists_of_the_parts_that_it_was_made_of() {
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
