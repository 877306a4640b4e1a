//! The worker's timers: one wheel for timeouts, plugins' timers and pauses.
//!
//! Timeouts of streams are lazy: an entry stands at the earliest time at which a timeout could be due, and whether one
//! is due is computed when the entry comes. So a byte that moves costs a store, not an operation on the wheel.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use polyport_host::id::Id;

use super::clock::{Clock, nanos};
use super::wheel::{TimerKey, Wheel};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A timeout of a stream, socket or flow may be.
    Look(Id),
    /// The next portion of streams that drain.
    Drain,
    /// A plugin's timer.
    Timer(Id, u32),
    /// A listener that was paused, by its number, may try again.
    Listener(usize),
    /// A socket that the system had no memory for may try again.
    Receive(Id),
    /// The grace of a draining socket, or of a superseded one that waits for what it dialled, is over.
    Parting(Id),
}

/// See the module's text.
pub(crate) struct Timers {
    clock: Rc<Clock>,
    wheel: RefCell<Wheel<Due>>,
}

impl Timers {
    /// None set.
    pub(crate) fn new(clock: Rc<Clock>) -> Self {
        let wheel = RefCell::new(Wheel::new(clock.now()));
        Self { clock, wheel }
    }

    /// Sets a timer, counted from this moment.
    pub(crate) fn add(&self, due: Due, after: Duration) -> TimerKey {
        let at = self.clock.read().saturating_add(nanos(after));
        self.wheel.borrow_mut().insert(at, due)
    }

    /// Cancels a timer; nothing happens when it has come already.
    pub(crate) fn remove(&self, key: TimerKey) {
        self.wheel.borrow_mut().remove(key);
    }

    /// The next one that is due in this turn.
    pub(crate) fn pop(&self) -> Option<Due> {
        self.wheel.borrow_mut().pop(self.clock.now())
    }

    /// How long the worker may sleep at most, as far as timers go.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        let next = self.wheel.borrow().next()?;
        Some(Duration::from_nanos(next.saturating_sub(self.clock.read())))
    }
}
