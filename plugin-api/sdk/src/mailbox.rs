//! Messages to a stream, socket, flow or instance from any thread: a bounded queue and a wake-up.
//!
//! The [`Inbox`] is kept in the state of its owner, so it ends with the owner. Posting stays safe
//! after that and returns [`PostError::Closed`].

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use polyport_abi::PpId;

use crate::host::host;
use crate::ids::Target;
use crate::status::done;

/// Makes a mailbox for `target` with room for `capacity` messages; posting wakes the target with
/// `bits`. `[any]`
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

/// The sending side; clone it for each sender.
pub struct Mailbox<T>(Arc<Shared<T>>);

impl<T: Send> Mailbox<T> {
    /// Posts a message and wakes the owner. Blocks only on a lock held for moments. `[any]`
    ///
    /// # Errors
    ///
    /// The message, if the mailbox is full or its owner has ended.
    pub fn post(&self, message: T) -> Result<(), PostError<T>> {
        let mut queue = self.0.queue();
        if queue.closed {
            return Err(PostError::Closed(message));
        }
        if queue.messages.len() >= self.0.capacity {
            return Err(PostError::Full(message));
        }
        // The wake-up comes first, under the lock: the owner cannot look before the message is
        // queued, and if the owner has ended the message is still ours to return.
        if !queue.woken {
            // SAFETY: `wake` takes numbers only, may be called from any thread, and by R1 does not
            // call back.
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

/// The receiving side. Dropping it closes the mailbox and drops queued messages.
pub struct Inbox<T>(Arc<Shared<T>>);

impl<T> Inbox<T> {
    /// Takes the oldest message. Messages left when `on_wake` returns stay queued until the next
    /// post or wake-up, so take until `None`. `[any]`
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
        let messages = std::mem::take(&mut queue.messages);
        drop(queue);
        // Outside the lock: a message may itself hold a mailbox.
        drop(messages);
    }
}

/// Why a message was not accepted; holds the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostError<T> {
    /// The mailbox is full.
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
    /// A wake-up is pending, and nothing was taken since its request.
    woken: bool,
    /// The inbox was dropped.
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
