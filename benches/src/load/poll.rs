//! The epoll set of a load: sockets are known by their number.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const EVENTS: usize = 256;
/// How long a load that only waits sleeps before it looks at its window again.
const QUIET_MS: u8 = 50;

/// Sockets of a load.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

/// What is known of one socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The socket's number.
    pub(crate) index: usize,
    /// There may be room to send.
    pub(crate) writable: bool,
    /// There may be something to read, or the end.
    pub(crate) readable: bool,
}

impl Poll {
    /// An empty set.
    pub(crate) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("no epoll")?;
        Ok(Self {
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Watches a socket, edge-triggered, both ways, until it is closed.
    pub(crate) fn watch(&self, socket: impl AsFd, index: usize) -> Result<()> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll
            .add(socket, EpollEvent::new(flags, index as u64))
            .context("cannot watch")
    }

    /// Looks what happened, without sleeping: a load that sleeps would have the server pay for
    /// waking it, and the more so the faster the server is.
    pub(crate) fn look(&mut self) -> Result<Vec<Ready>> {
        self.events(EpollTimeout::ZERO)
    }

    /// Sleeps a little, or until something happens.
    pub(crate) fn rest(&mut self) -> Result<Vec<Ready>> {
        self.events(EpollTimeout::from(QUIET_MS))
    }

    fn events(&mut self, timeout: EpollTimeout) -> Result<Vec<Ready>> {
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            other => other.context("epoll_wait")?,
        };
        self.events.iter().take(count).map(Ready::of).collect()
    }
}

impl Ready {
    fn of(event: &EpollEvent) -> Result<Self> {
        let flags = event.events();
        ensure!(
            !flags.contains(EpollFlags::EPOLLERR),
            "a socket failed: is the server gone?"
        );
        Ok(Self {
            index: usize::try_from(event.data())?,
            writable: flags.contains(EpollFlags::EPOLLOUT),
            readable: flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP),
        })
    }
}
