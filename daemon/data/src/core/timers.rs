//! The worker's timers: one wheel for timeouts, plugins' timers and pauses.
//!
//! Timeouts of streams are lazy: an entry stands at the earliest time at which a timeout could be due, and whether one
//! is due is computed when the entry comes. So a byte that moves costs a store, not an operation on the wheel.

use std::cell::RefCell;
use std::time::Duration;

use super::work::Work;
use crate::time::{Clock, TimerKey, Wheel, nanos};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Timers(RefCell<Wheel<Work>>);

impl Timers {
    /// None set.
    pub(crate) fn new(clock: &Clock) -> Self {
        Self(RefCell::new(Wheel::new(clock.now())))
    }

    /// Sets a timer, counted from this moment.
    pub(crate) fn add(&self, clock: &Clock, work: Work, after: Duration) -> TimerKey {
        let at = clock.read().saturating_add(nanos(after));
        self.0.borrow_mut().insert(at, work)
    }

    /// Cancels a timer; nothing happens when it has come already.
    pub(crate) fn remove(&self, key: TimerKey) {
        self.0.borrow_mut().remove(key);
    }

    /// The next one that is due in this turn.
    pub(crate) fn pop(&self, clock: &Clock) -> Option<Work> {
        self.0.borrow_mut().pop(clock.now())
    }

    /// How long the worker may sleep at most, as far as timers go.
    pub(crate) fn sleep(&self, clock: &Clock) -> Option<Duration> {
        let next = self.0.borrow().next()?;
        Some(Duration::from_nanos(next.saturating_sub(clock.read())))
    }
}
