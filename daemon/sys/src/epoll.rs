//! A thin epoll set: descriptors in, readiness out, no allocation in between.
//!
//! It does not own registered descriptors: remove a descriptor, or close its last copy, before its
//! token is reused.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// The readiness that a descriptor is watched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest(EpollFlags);

impl Interest {
    /// A stream socket: both directions and the peer's half-close, edge-triggered.
    pub const STREAM: Self = Self(
        EpollFlags::EPOLLIN
            .union(EpollFlags::EPOLLOUT)
            .union(EpollFlags::EPOLLRDHUP)
            .union(EpollFlags::EPOLLPRI)
            .union(EpollFlags::EPOLLET),
    );
    /// A listening socket shared by several sets: level-triggered, exclusive wakeups. It cannot be
    /// passed to [`Epoll::modify`]: remove and add.
    pub const LISTENER: Self = Self(EpollFlags::EPOLLIN.union(EpollFlags::EPOLLEXCLUSIVE));
    /// A datagram socket: both directions, edge-triggered.
    pub const DATAGRAM: Self = Self(
        EpollFlags::EPOLLIN
            .union(EpollFlags::EPOLLOUT)
            .union(EpollFlags::EPOLLET),
    );
    /// A [`Wakeup`](crate::Wakeup): edge-triggered.
    pub const WAKE: Self = Self(EpollFlags::EPOLLIN.union(EpollFlags::EPOLLET));
}

/// An epoll set. All calls are safe from any thread.
#[derive(Debug)]
pub struct Epoll {
    set: nix::sys::epoll::Epoll,
}

impl Epoll {
    /// Creates an empty set.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn new() -> io::Result<Self> {
        let set = nix::sys::epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { set })
    }

    /// Watches `fd`; its events carry `token`. Present readiness gives an event too.
    ///
    /// # Errors
    /// `EEXIST` when `fd` is watched already, `ENOSPC` beyond the user's limit of watches,
    /// `ENOMEM`.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self.set.add(fd, EpollEvent::new(interest.0, token))?)
    }

    /// Changes token and interest; present readiness gives an event again.
    ///
    /// # Errors
    /// `ENOENT` when `fd` is not watched, `EINVAL` with [`Interest::LISTENER`].
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        Ok(self
            .set
            .modify(fd, &mut EpollEvent::new(interest.0, token))?)
    }

    /// Stops watching `fd`. Events already returned by [`Self::poll`] remain in its `Events`.
    ///
    /// # Errors
    /// `ENOENT` when `fd` is not watched.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        Ok(self.set.delete(fd)?)
    }

    /// Waits for readiness or until `timeout` passed (`None`: no timeout; rounded up to a
    /// millisecond), fills `events` and returns their number. An interrupted wait returns 0.
    ///
    /// # Errors
    /// None in practice: only those of an invalid descriptor.
    pub fn poll(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<usize> {
        events.filled = match self.set.wait(&mut events.list, milliseconds(timeout)) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => return Err(errno.into()),
        };
        Ok(events.filled)
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.0.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.set.0.as_raw_fd()
    }
}

fn milliseconds(timeout: Option<Duration>) -> EpollTimeout {
    let Some(timeout) = timeout else {
        return EpollTimeout::NONE;
    };
    let rounded_up = timeout.as_nanos().div_ceil(1_000_000);
    let bounded = i32::try_from(rounded_up).unwrap_or(i32::MAX);
    EpollTimeout::try_from(bounded).unwrap_or(EpollTimeout::MAX)
}

/// The events of one poll; allocated once.
#[derive(Debug)]
pub struct Events {
    list: Vec<EpollEvent>,
    filled: usize,
}

impl Events {
    /// Room for `capacity` events (at least one); further ones come with the next poll.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            list: vec![EpollEvent::empty(); capacity.max(1)],
            filled: 0,
        }
    }

    /// The events of the last poll.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list.iter().take(self.filled).map(Event::from_raw)
    }

    /// The event at `index` of the last poll, for loops that cannot borrow the whole.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Event> {
        self.list
            .get(..self.filled)?
            .get(index)
            .map(Event::from_raw)
    }
}

/// The readiness of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The token of the registration.
    pub token: u64,
    /// A read returns bytes, the end or an error.
    pub readable: bool,
    /// A write may succeed.
    pub writable: bool,
    /// The peer has closed its direction, or the connection is gone, or urgent data arrived. In
    /// each case a short read does not mean that the queue is empty.
    pub read_closed: bool,
    /// The descriptor has a pending error.
    pub error: bool,
}

impl Event {
    fn from_raw(raw: &EpollEvent) -> Self {
        let flags = raw.events();
        Self {
            token: raw.data(),
            readable: flags.contains(EpollFlags::EPOLLIN),
            writable: flags.contains(EpollFlags::EPOLLOUT),
            read_closed: flags.intersects(
                EpollFlags::EPOLLRDHUP
                    .union(EpollFlags::EPOLLHUP)
                    .union(EpollFlags::EPOLLPRI),
            ),
            error: flags.contains(EpollFlags::EPOLLERR),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    const LONG: Option<Duration> = Some(Duration::from_secs(5));

    #[test]
    fn epoll_reports_bytes_and_half_close_once_each() {
        let (mut near, mut far) = UnixStream::pair().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = Events::with_capacity(8);
        epoll
            .add(near.as_fd(), u64::MAX - 3, Interest::STREAM)
            .unwrap();
        epoll.poll(&mut events, LONG).unwrap();
        let first = events.at(0).unwrap();
        assert!(first.writable && !first.readable && !first.read_closed);
        assert_eq!(first.token, u64::MAX - 3);

        far.write_all(b"x").unwrap();
        epoll.poll(&mut events, LONG).unwrap();
        assert!(events.at(0).unwrap().readable);
        assert_eq!(
            epoll.poll(&mut events, Some(Duration::ZERO)).unwrap(),
            0,
            "edge, not level"
        );

        near.read_exact(&mut [0]).unwrap();
        far.shutdown(std::net::Shutdown::Write).unwrap();
        epoll.poll(&mut events, LONG).unwrap();
        assert!(events.at(0).unwrap().read_closed);
    }

    #[test]
    fn epoll_nests_and_forgets_removed_descriptors() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (inner, outer) = (Epoll::new().unwrap(), Epoll::new().unwrap());
        let mut events = Events::with_capacity(1);
        outer.add(inner.as_fd(), 1, Interest::WAKE).unwrap();
        assert_eq!(outer.poll(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        inner.add(near.as_fd(), 2, Interest::WAKE).unwrap();
        far.write_all(b"x").unwrap();
        assert_eq!(outer.poll(&mut events, LONG).unwrap(), 1);
        inner.modify(near.as_fd(), 3, Interest::STREAM).unwrap();
        inner.poll(&mut events, LONG).unwrap();
        assert_eq!(
            events.iter().map(|event| event.token).collect::<Vec<_>>(),
            [3]
        );
        inner.remove(near.as_fd()).unwrap();
        assert_eq!(inner.poll(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        assert_eq!(events.at(0), None);
    }

    #[test]
    fn epoll_timeout_is_rounded_up_and_bounded() {
        assert_eq!(i32::from(milliseconds(Some(Duration::from_nanos(1)))), 1);
        assert_eq!(i32::from(milliseconds(Some(Duration::MAX))), i32::MAX);
        assert_eq!(i32::from(milliseconds(None)), -1);
    }
}
