//! A waker between threads: any thread notifies, one epoll set gets the event.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// An eventfd. Notifications before the event is handled merge into one.
///
/// Registered with [`Interest::WAKE`](crate::Interest::WAKE), each notification gives an event even
/// if earlier ones were not cleared.
#[derive(Debug)]
pub struct Wakeup {
    eventfd: EventFd,
}

impl Wakeup {
    /// Creates a waker without a pending notification.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            eventfd: EventFd::from_flags(flags)?,
        })
    }

    /// Notifies the epoll set. Safe from any thread; never blocks.
    pub fn notify(&self) {
        // The only failure, `EAGAIN`, means that the counter is at its maximum: an event is pending
        // already.
        self.eventfd.write(1).ok();
    }

    /// Clears pending notifications. To be called by the thread that polls.
    pub fn clear(&self) {
        // `EAGAIN` means that none was pending.
        self.eventfd.read().ok();
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Epoll, Events, Interest};
    use std::time::Duration;

    #[test]
    fn wakeup_from_another_thread_gives_one_event() {
        let eventfd = Wakeup::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(eventfd.as_fd(), 7, Interest::WAKE).unwrap();
        let mut events = Events::with_capacity(4);
        std::thread::scope(|scope| {
            scope.spawn(|| eventfd.notify());
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
    fn wakeup_repeats_uncleared_and_is_silent_cleared() {
        let eventfd = Wakeup::new().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(4);
        eventfd.notify();
        eventfd.clear();
        eventfd.clear();
        epoll.add(eventfd.as_fd(), 1, Interest::WAKE).unwrap();
        assert_eq!(epoll.poll(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        for _ in 0..2 {
            eventfd.notify();
            assert_eq!(
                epoll
                    .poll(&mut events, Some(Duration::from_secs(5)))
                    .unwrap(),
                1
            );
        }
    }
}
