//! The output of one stream that its socket has not taken yet, and its watermarks.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};

use super::queue::Queue;
use crate::transport::Transport;

/// Output at which reads go on again and `on_writable` comes, bytes.
const LOW_DEFAULT: u32 = 64 << 10;
/// Output at which reads pause, bytes.
const HIGH_DEFAULT: u32 = 256 << 10;
/// Most output that a handler may queue, bytes; more is refused.
pub(crate) const OUTPUT_MAX: usize = 4 << 20;
/// The most that watermarks can be set to, bytes: room for one more write is left below the hard bound.
const HIGH_MAX: usize = OUTPUT_MAX / 2;

/// See the module's text. An empty queue has no memory.
#[derive(Debug)]
pub(crate) struct Output {
    queue: RefCell<Queue>,
    low: Cell<u32>,
    high: Cell<u32>,
    /// Since when the socket has taken nothing of the queue, nanoseconds; 0: the queue is empty.
    blocked_since: Cell<u64>,
}

/// What a send came to.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Bytes that the socket has taken.
    pub(crate) count: usize,
    /// The socket takes no more now.
    pub(crate) blocked: bool,
    /// The connection has failed, and the queue was dropped.
    pub(crate) failed: Option<io::Error>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            queue: RefCell::default(),
            low: Cell::new(LOW_DEFAULT),
            high: Cell::new(HIGH_DEFAULT),
            blocked_since: Cell::new(0),
        }
    }
}

impl Output {
    /// Bytes in the queue.
    pub(crate) fn len(&self) -> usize {
        self.queue.borrow().len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// The low watermark, bytes.
    pub(crate) fn low(&self) -> usize {
        self.low.get() as usize
    }

    /// The high watermark, bytes.
    pub(crate) fn high(&self) -> usize {
        self.high.get() as usize
    }

    /// Sets the watermarks, bytes; what is above [`HIGH_MAX`] is cut to it.
    pub(crate) fn set_watermarks(&self, low: usize, high: usize) {
        let clamp = |bytes: usize| u32::try_from(bytes.min(HIGH_MAX)).unwrap_or(u32::MAX);
        self.low.set(clamp(low));
        self.high.set(clamp(high));
    }

    /// See the field.
    pub(crate) fn blocked_since(&self) -> u64 {
        self.blocked_since.get()
    }

    /// The socket has taken some or all of the queue, or none of it, at `now`.
    pub(crate) fn set_blocked(&self, now: u64) {
        self.blocked_since
            .set(if self.is_empty() { 0 } else { now.max(1) });
    }

    /// Queues all but the first `skip` bytes of some pieces.
    pub(crate) fn push(&self, pieces: &[IoSlice<'_>], skip: usize) {
        self.queue.borrow_mut().push(pieces, skip);
    }

    /// Drops the queue.
    pub(crate) fn clear(&self) {
        self.queue.borrow_mut().clear();
    }

    /// Sends what the socket takes of the queue.
    pub(crate) fn flush(&self, transport: &Transport) -> Sent {
        let mut count = 0;
        let mut queue = self.queue.borrow_mut();
        while !queue.is_empty() {
            match transport.write(&[IoSlice::new(queue.front())]) {
                Ok(taken) => {
                    queue.sent(taken);
                    count += taken;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Sent::some(count, true);
                }
                Err(error) => {
                    drop(queue);
                    return self.fail(count, error);
                }
            }
        }
        Sent::some(count, false)
    }

    /// The connection has failed after `count` bytes: drops the queue.
    pub(crate) fn fail(&self, count: usize, error: io::Error) -> Sent {
        self.clear();
        Sent {
            count,
            blocked: false,
            failed: Some(error),
        }
    }
}

impl Sent {
    /// The socket has taken `count` bytes.
    pub(crate) fn some(count: usize, blocked: bool) -> Self {
        Self {
            count,
            blocked,
            failed: None,
        }
    }
}
