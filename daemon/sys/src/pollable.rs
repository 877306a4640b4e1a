//! An epoll set as a tokio runtime waits on it.
#![expect(
    unsafe_code,
    reason = "tokio wants a promise about the descriptor's life"
)]

use std::io;
use std::rc::Rc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::epoll::Epoll;

/// Registers a set with the current runtime, for as long as the result lives.
///
/// # Errors
/// Outside of a runtime with I/O, or when the system has no more of something.
pub fn pollable(set: Rc<Epoll>) -> io::Result<AsyncFd<Rc<Epoll>>> {
    // SAFETY: the set's descriptor stays the same and open until the set is dropped, and the shared pointer that is
    // handed over keeps the set alive for as long as it is registered.
    unsafe { AsyncFd::register_with_interest(set, Interest::READABLE) }.map_err(Into::into)
}
