//! Facts about an object that are either so or not.

use std::cell::Cell;

/// One fact.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag(u32);

impl Flag {
    // of all objects
    /// `closed` was called, or `open` has not been; of a stream only the lingering close goes on.
    pub(crate) const ENDED: Self = Self(1);
    /// The handler closed it, or its callback panicked: no callback until the queued work about that is done.
    pub(crate) const SUPPRESSED: Self = Self(1 << 1);
    /// Its drain has begun.
    pub(crate) const DRAINING: Self = Self(1 << 2);
    /// The handler has more output than it may, and waits for `on_writable`.
    pub(crate) const WRITABLE_OWED: Self = Self(1 << 3);
    /// Work that goes on with it is queued.
    pub(crate) const QUEUED: Self = Self(1 << 4);
    /// A flush of the stream is queued.
    pub(crate) const FLUSH_QUEUED: Self = Self(1 << 6);
    /// Its instance is paused, and something came for it meanwhile.
    pub(crate) const DEFERRED: Self = Self(1 << 5);
    /// Of a stream: its service has another instance by now, and the stream stays with its own. Of a socket or flow: its
    /// instance is exclusive and was replaced, so it ends even while the instance is paused.
    pub(crate) const SUPERSEDED: Self = Self(1 << 7);

    // of a stream
    /// Its socket may have bytes.
    pub(crate) const READABLE: Self = Self(1 << 8);
    /// An end or an error was announced: read on until it comes.
    pub(crate) const END_ANNOUNCED: Self = Self(1 << 9);
    /// The peer has ended its direction.
    pub(crate) const PEER_FIN: Self = Self(1 << 10);
    /// The handler was given the peer's end, and has consumed everything before it.
    pub(crate) const FIN_DELIVERED: Self = Self(1 << 11);
    /// The handler wants to end our direction.
    pub(crate) const FIN_WANTED: Self = Self(1 << 12);
    /// Our direction is ended.
    pub(crate) const FIN_SENT: Self = Self(1 << 13);
    /// The handler has stopped reads.
    pub(crate) const PAUSED_BY_HANDLER: Self = Self(1 << 14);
    /// Output is above the high watermark.
    pub(crate) const PAUSED_BY_OUTPUT: Self = Self(1 << 15);
    /// Unconsumed bytes are to be delivered again.
    pub(crate) const REDELIVER: Self = Self(1 << 16);
    /// The connection has failed: nothing more can be read or written.
    pub(crate) const BROKEN: Self = Self(1 << 17);
    /// A dial that is not connected yet.
    pub(crate) const CONNECTING: Self = Self(1 << 18);
    /// It waits in the pacer for its drain.
    pub(crate) const DRAIN_QUEUED: Self = Self(1 << 19);

    /// Both.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The flags of one object.
#[derive(Debug, Default)]
pub(crate) struct Flags(Cell<u32>);

impl Flags {
    /// Is one of these set?
    #[inline]
    pub(crate) fn has(&self, flag: Flag) -> bool {
        self.0.get() & flag.0 != 0
    }

    pub(crate) fn set(&self, flag: Flag) {
        self.0.set(self.0.get() | flag.0);
    }

    pub(crate) fn clear(&self, flag: Flag) {
        self.0.set(self.0.get() & !flag.0);
    }

    /// Sets the flag; returns whether it was clear before.
    pub(crate) fn mark(&self, flag: Flag) -> bool {
        let was_clear = !self.has(flag);
        self.set(flag);
        was_clear
    }

    /// Clears the flag; returns whether it was set before.
    pub(crate) fn take(&self, flag: Flag) -> bool {
        let was_set = self.has(flag);
        self.clear(flag);
        was_set
    }
}
