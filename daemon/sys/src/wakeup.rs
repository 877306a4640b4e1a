//! A bell between threads: any thread rings it, one epoll set hears it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// An eventfd. Rings before it is heard add up to one.
///
/// Registered with [`Interest::WAKE`](crate::Interest::WAKE), each ring gives an event even when the
/// earlier ones were not cleared.
#[derive(Debug)]
pub struct Wakeup {
    bell: EventFd,
}

impl Wakeup {
    /// Makes a silent bell.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            bell: EventFd::from_flags(flags)?,
        })
    }

    /// Rings. From any thread; never waits.
    pub fn notify(&self) {
        // The one failure, `EAGAIN`, means that the count is at its top: it rings already.
        self.bell.write(1).ok();
    }

    /// Makes it silent again. From the thread that hears it.
    pub fn clear(&self) {
        // `EAGAIN` means that it was silent.
        self.bell.read().ok();
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoll, Events, Interest};
    use std::time::Duration;

    #[test]
    fn a_ring_from_another_thread_is_heard_once() {
        let bell = Wakeup::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(bell.as_fd(), 7, Interest::WAKE).unwrap();
        let mut events = Events::with_capacity(4);
        std::thread::scope(|scope| {
            scope.spawn(|| bell.notify());
            assert_eq!(
                epoll
                    .poll(&mut events, Some(Duration::from_secs(5)))
                    .unwrap(),
                1
            );
        });
        let event = events.iter().next().unwrap();
        assert_eq!((event.token, event.readable), (7, true));
        assert_eq!(epoll.poll(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    }

    #[test]
    fn an_uncleared_bell_rings_again_and_a_cleared_one_is_silent() {
        let bell = Wakeup::new().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        bell.notify();
        bell.clear();
        bell.clear();
        epoll.add(bell.as_fd(), 1, Interest::WAKE).unwrap();
        assert_eq!(epoll.poll(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        for _ in 0..2 {
            bell.notify();
            assert_eq!(
                epoll
                    .poll(&mut events, Some(Duration::from_secs(5)))
                    .unwrap(),
                1
            );
        }
    }
}
