//! The inbox of a hook thread: hooks to call first, then failed dials, then wakes.

use std::collections::VecDeque;
use std::time::Instant;

use crate::status::{DialFailure, HostError};
use crate::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Most failed dials that wait for an instance.
pub(crate) const DIALS_MAX: usize = 1024;

/// See the module's text; `J` is a hook with its arguments.
pub(crate) struct HookInbox<J> {
    queues: Mutex<Queues<J>>,
    /// Something came, or the inbox was closed.
    changed: Condvar,
}

struct Queues<J> {
    hooks: VecDeque<J>,
    dials_failed: VecDeque<(u64, DialFailure)>,
    /// A failed dial found no room since the queue of failed dials was empty.
    dials_lost: bool,
    /// The bits of all wakes.
    woken: u64,
    /// Nothing comes in any more: the last hook has run, or the instance was given up.
    closed: bool,
}

/// What a hook thread does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work<J> {
    Hook(J),
    DialFailed(u64, DialFailure),
    Wake(u64),
    /// The time has come that `next` was to wait for at most.
    Timer,
    /// The inbox was closed.
    End,
}

impl<J> Default for HookInbox<J> {
    fn default() -> Self {
        Self {
            queues: Mutex::new(Queues {
                hooks: VecDeque::new(),
                dials_failed: VecDeque::new(),
                dials_lost: false,
                woken: 0,
                closed: false,
            }),
            changed: Condvar::new(),
        }
    }
}

impl<J> HookInbox<J> {
    fn queues(&self) -> MutexGuard<'_, Queues<J>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a hook; drops it when the inbox is closed.
    pub(crate) fn push(&self, hook: J) {
        let mut queues = self.queues();
        if !queues.closed {
            queues.hooks.push_back(hook);
            self.changed.notify_one();
        }
    }

    /// Adds bits to those that wait.
    pub(crate) fn wake(&self, bits: u64) -> Result<(), HostError> {
        let mut queues = self.queues();
        if queues.closed {
            return Err(HostError::Closing);
        }
        queues.woken |= bits;
        self.changed.notify_one();
        Ok(())
    }

    /// Adds a failed dial. Returns whether it is the first one that finds no room: each overflow has one such.
    pub(crate) fn push_dial(&self, tag: u64, why: DialFailure) -> bool {
        let mut queues = self.queues();
        if queues.closed {
            return false;
        }
        if queues.dials_failed.len() >= DIALS_MAX {
            return !std::mem::replace(&mut queues.dials_lost, true);
        }
        queues.dials_failed.push_back((tag, why));
        self.changed.notify_one();
        false
    }

    /// Refuses everything from now on, and drops the hooks that wait.
    pub(crate) fn close(&self) {
        let mut queues = self.queues();
        queues.closed = true;
        let hooks = std::mem::take(&mut queues.hooks);
        drop(queues);
        self.changed.notify_one();
        drop(hooks);
    }

    /// Has it been closed?
    pub(crate) fn is_closed(&self) -> bool {
        self.queues().closed
    }

    /// Waits for the next thing to do, until `until`.
    pub(crate) fn next(&self, until: Option<Instant>) -> Work<J> {
        let mut queues = self.queues();
        loop {
            if let Some(hook) = queues.hooks.pop_front() {
                return Work::Hook(hook);
            }
            if queues.closed {
                return Work::End;
            }
            if let Some((tag, why)) = queues.dials_failed.pop_front() {
                queues.dials_lost &= !queues.dials_failed.is_empty();
                return Work::DialFailed(tag, why);
            }
            if queues.woken != 0 {
                return Work::Wake(std::mem::take(&mut queues.woken));
            }
            queues = match until {
                None => self
                    .changed
                    .wait(queues)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Work::Timer;
                    }
                    let waited = self.changed.wait_timeout(queues, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}
