//! Messages to a stream, socket, flow or instance from anywhere: a bounded queue and a wake-up.
//!
//! The receiving side lives in the state of what it belongs to, so it ends with it. Posting stays
//! safe after that: it says [`PostError::Closed`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polyport_abi::PpId;

use crate::host::host;
use crate::ids::Target;
use crate::status::done;

/// Makes a mailbox for `target` that holds at most `capacity` messages and wakes it by `bits`.
/// `[any]`
///
/// Keep the [`Inbox`] in the target's state and empty it in `on_wake`.
#[must_use]
pub fn mailbox<T: Send>(
    target: &impl Target,
    bits: u64,
    capacity: usize,
) -> (Mailbox<T>, Inbox<T>) {
    let queue = Queue {
        messages: VecDeque::new(),
        woken: false,
        closed: false,
    };
    let shared = Arc::new(Shared {
        target: target.raw_id(),
        bits,
        capacity,
        queue: Mutex::new(queue),
    });
    (Mailbox(Arc::clone(&shared)), Inbox(shared))
}

/// The sending side; clone it as often as there are senders.
pub struct Mailbox<T>(Arc<Shared<T>>);

impl<T: Send> Mailbox<T> {
    /// Leaves a message and wakes the owner. Never blocks on anything but a lock held for moments.
    /// `[any]`
    ///
    /// # Errors
    ///
    /// The message comes back if the mailbox is full or its owner has ended.
    pub fn post(&self, message: T) -> Result<(), PostError<T>> {
        let mut queue = self.0.queue();
        if queue.closed {
            return Err(PostError::Closed(message));
        }
        if queue.messages.len() >= self.0.capacity {
            return Err(PostError::Full(message));
        }
        // The wake-up comes first, under the lock: the owner cannot look before the message is
        // there, and if there is no owner any more the message has not left our hands.
        if !queue.woken {
            // SAFETY: `wake` takes numbers only, may be called from any thread, and by R1 calls
            // nobody back.
            let woken = done(unsafe { (host().wake)(self.0.target, self.0.bits) });
            if woken.is_err() {
                return Err(PostError::Closed(message));
            }
            queue.woken = true;
        }
        queue.messages.push_back(message);
        Ok(())
    }
}

impl<T> Clone for Mailbox<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// The receiving side. Dropping it closes the mailbox and drops what was not taken.
pub struct Inbox<T>(Arc<Shared<T>>);

impl<T> Inbox<T> {
    /// Takes the oldest message. What is left when `on_wake` returns stays until the next message
    /// comes or somebody wakes the owner, so take until `None`. `[any]`
    #[must_use]
    pub fn take(&mut self) -> Option<T> {
        let mut queue = self.0.queue();
        queue.woken = false;
        queue.messages.pop_front()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.closed = true;
        let untaken = std::mem::take(&mut queue.messages);
        drop(queue);
        // Outside the lock: a message may hold a mailbox itself.
        drop(untaken);
    }
}

/// Why a message was not taken; it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError<T> {
    /// There are as many messages as the mailbox holds.
    Full(T),
    /// The owner has ended.
    Closed(T),
}

impl<T> PostError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(message) | Self::Closed(message) => message,
        }
    }
}

impl<T> fmt::Display for PostError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox is full",
            Self::Closed(_) => "the owner of the mailbox has ended",
        })
    }
}

impl<T: fmt::Debug> std::error::Error for PostError<T> {}

struct Shared<T> {
    target: PpId,
    bits: u64,
    capacity: usize,
    queue: Mutex<Queue<T>>,
}

struct Queue<T> {
    messages: VecDeque<T>,
    /// A wake-up is on its way, and nothing was taken since it was asked for.
    woken: bool,
    /// The inbox is gone.
    closed: bool,
}

impl<T> Shared<T> {
    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Mailbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox")
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("target", &self.0.target)
            .finish_non_exhaustive()
    }
}
