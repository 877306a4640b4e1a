//! The worker's deadlines: one queue for timeouts, plugin timers and pauses.
//!
//! Timeouts of streams are kept lazily: an entry stands at the earliest time at which something could be due, and
//! only when it comes is it looked at what is. So a byte that moves costs a store, not a queue operation.

use std::cell::RefCell;
use std::task::{Context, Poll};
use std::time::Duration;

use polyport_host::id::Id;
use tokio_util::time::{DelayQueue, delay_queue};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Something of a stream, socket or flow may be.
    Look(Id),
    /// The next portion of streams that drain.
    Drain,
    /// A plugin's timer.
    Timer(Id, u32),
    /// A listener that was paused, by its number, may try again.
    Listener(usize),
    /// A socket that the system had no memory for may try again.
    Receive(Id),
    /// The time in which a socket may take leave, or wait for what it dialled, is over.
    Parting(Id),
}

/// Names an entry, to take it away again. Once the entry has come, the key may name another: who has it forgets it.
pub(super) type Key = delay_queue::Key;

/// The longest that anything waits: the queue takes no more than two years.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Default)]
pub(super) struct Deadlines {
    queue: RefCell<DelayQueue<Due>>,
}

impl Deadlines {
    /// Adds an entry; to be called inside the worker's runtime.
    pub(super) fn add(&self, due: Due, after: Duration) -> Key {
        self.queue.borrow_mut().insert(due, after.min(LONGEST))
    }

    /// Takes an entry away that has not come yet.
    pub(super) fn remove(&self, key: Key) {
        self.queue.borrow_mut().try_remove(&key);
    }

    /// The next thing that is due.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Due> {
        match self.queue.borrow_mut().poll_expired(cx) {
            Poll::Ready(Some(expired)) => Poll::Ready(expired.into_inner()),
            // An empty queue has nothing to wait for; the worker polls again after each turn.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
