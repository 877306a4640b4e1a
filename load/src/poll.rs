//! The epoll set: each event carries its target.

use std::os::fd::AsFd;

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

const EVENTS: usize = 256;
/// The clock of the load: pauses, deadlines and rates are looked at so often.
const TICK_MS: u8 = 1;
const KIND_SHIFT: u32 = 32;

/// The descriptors that the load waits for.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: Epoll,
    events: Vec<EpollEvent>,
}

/// What happened on one socket of a load that does not sleep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    /// The slot that was given when it was watched.
    pub(crate) slot: u32,
    /// There may be room to send.
    pub(crate) writable: bool,
    /// There may be something to read, or the end.
    pub(crate) readable: bool,
}

/// The target of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Control lines.
    Control,
    /// A signal to end.
    Signal,
    /// A client, by its slot.
    Client(u32),
    /// A long-lived stream, by its slot.
    Stream(u32),
    /// A source of datagrams, by its slot.
    Source(u32),
}

impl Poll {
    pub(crate) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("no epoll")?;
        Ok(Self {
            epoll,
            events: vec![EpollEvent::empty(); EVENTS],
        })
    }

    /// Watches a socket for both directions, edge-triggered, until it is closed.
    pub(crate) fn watch(&self, socket: impl AsFd, who: Who) -> Result<(), Errno> {
        let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLET;
        self.epoll.add(socket, EpollEvent::new(flags, who.code()))
    }

    /// Watches for input, level-triggered.
    pub(crate) fn watch_input(&self, input: impl AsFd, who: Who) -> Result<(), Errno> {
        self.epoll
            .add(input, EpollEvent::new(EpollFlags::EPOLLIN, who.code()))
    }

    /// Ends a watch before the descriptor is closed.
    pub(crate) fn forget(&self, input: impl AsFd) -> Result<(), Errno> {
        self.epoll.delete(input)
    }

    /// Waits for something to happen, or for the next tick.
    pub(crate) fn wait(&mut self) -> Result<Vec<Who>> {
        let events = self.events(EpollTimeout::from(TICK_MS))?;
        Ok(events
            .filter_map(|event| Who::of_code(event.data()))
            .collect())
    }

    /// Returns what happened, without sleeping.
    pub(crate) fn look(&mut self) -> Result<Vec<Ready>> {
        self.events(EpollTimeout::ZERO)?.map(Ready::of).collect()
    }

    fn events(&mut self, timeout: EpollTimeout) -> Result<impl Iterator<Item = &EpollEvent>> {
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Err(Errno::EINTR) => 0,
            other => other.context("epoll_wait")?,
        };
        Ok(self.events.iter().take(count))
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
            slot: u32::try_from(event.data() & u64::from(u32::MAX))?,
            writable: flags.contains(EpollFlags::EPOLLOUT),
            readable: flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP),
        })
    }
}

impl Who {
    fn code(self) -> u64 {
        let (kind, slot) = match self {
            Self::Control => (0, 0),
            Self::Signal => (1, 0),
            Self::Client(slot) => (2, slot),
            Self::Stream(slot) => (3, slot),
            Self::Source(slot) => (4, slot),
        };
        (kind << KIND_SHIFT) | u64::from(slot)
    }

    fn of_code(code: u64) -> Option<Self> {
        let slot = u32::try_from(code & u64::from(u32::MAX)).ok()?;
        Some(match code >> KIND_SHIFT {
            0 => Self::Control,
            1 => Self::Signal,
            2 => Self::Client(slot),
            3 => Self::Stream(slot),
            4 => Self::Source(slot),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_told_is_who_watched() {
        for who in [
            Who::Control,
            Who::Signal,
            Who::Client(0),
            Who::Stream(7),
            Who::Source(u32::MAX),
        ] {
            assert_eq!(Who::of_code(who.code()), Some(who));
        }
    }
}
