//! The time of a worker: read once a turn, nanoseconds of the monotonic clock.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use polyport_sys::process::monotonic_nanos;

/// The time of a worker's turn.
#[derive(Debug)]
pub struct Clock {
    now: Cell<u64>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// `CLOCK_MONOTONIC`.
    Monotonic,
    /// A time that a simulation sets.
    Manual(ManualClock),
}

/// A clock that stands still until it is set. Copies share the time.
#[derive(Debug, Clone)]
pub struct ManualClock {
    now: Rc<Cell<u64>>,
    /// The [`Instant`] that stands for `start`.
    anchor: Instant,
    start: u64,
}

impl ManualClock {
    /// Stands at `start` nanoseconds.
    #[must_use]
    pub fn new(start: u64) -> Self {
        Self {
            now: Rc::new(Cell::new(start)),
            anchor: Instant::now(),
            start,
        }
    }

    /// Moves the time forward by `nanos`.
    pub fn advance(&self, nanos: u64) {
        self.now.set(self.now.get().saturating_add(nanos));
    }

    /// The time, nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// The [`Instant`] that a worker on this clock takes for `nanos`.
    #[must_use]
    pub fn instant(&self, nanos: u64) -> Instant {
        self.anchor + std::time::Duration::from_nanos(nanos.saturating_sub(self.start))
    }
}

impl Clock {
    /// The system's monotonic clock.
    #[must_use]
    pub fn monotonic() -> Self {
        Self {
            now: Cell::new(monotonic_nanos()),
            source: Source::Monotonic,
        }
    }

    /// A clock that a simulation sets.
    #[must_use]
    pub fn manual(clock: ManualClock) -> Self {
        Self {
            now: Cell::new(clock.now()),
            source: Source::Manual(clock),
        }
    }

    /// The time of this turn.
    #[inline]
    pub fn now(&self) -> u64 {
        self.now.get()
    }

    /// Begins a turn: reads the source.
    #[inline]
    pub fn update(&self) {
        self.now.set(self.read());
    }

    /// The time at this moment, which is later than [`now`](Self::now) when a callback has taken long.
    pub fn read(&self) -> u64 {
        match &self.source {
            Source::Monotonic => monotonic_nanos(),
            Source::Manual(clock) => clock.now(),
        }
    }

    /// An [`Instant`] of control as nanoseconds of this clock; one that is past is now.
    pub fn nanos_of(&self, time: Instant) -> u64 {
        match &self.source {
            Source::Monotonic => {
                let left = time.saturating_duration_since(Instant::now());
                self.now().saturating_add(nanos(left))
            }
            Source::Manual(clock) => {
                let since = nanos(time.saturating_duration_since(clock.anchor));
                clock.start.saturating_add(since).max(self.now())
            }
        }
    }
}

/// A duration in nanoseconds; the longest is 584 years.
pub(crate) fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
