//! A worker: one thread of the data side. It decides the order of things, and knows no protocol.

mod commands;
mod thread;
mod turn;
pub mod watchdog;

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::boundary::{self, CallMarker};
use polyport_host::id::Id;
use polyport_host::registry::Registry;
use polyport_host::wake_table::WakeTable;
use polyport_sys::epoll::{Events, Interest};

pub use thread::{WorkerHandle, WorkerSetup, forward_phases, start};

use crate::accept::Acceptors;
use crate::core::{Core, Mailbox};
use crate::datagram::Datagrams;
use crate::handle::Streams;
use crate::reload::Reload;
use crate::shut::Pacer;
use crate::time::Clock;

/// Events in one turn: fewer than the set could give, for a shorter wait of the last.
const EVENTS: usize = 128;
/// The token of the mailbox's waker; ids have a kind in their highest bits, and 15 is none.
const WAKER: u64 = 0xf << 60;

/// The core, and the rooms that share it. Rooms do not know each other: what one wants of another is queued as work.
pub struct Worker {
    core: Rc<Core>,
    events: Events,
    acceptors: Acceptors,
    streams: Streams,
    datagrams: Datagrams,
    pacer: Pacer,
    reload: Reload,
    /// Wakes that are handed out in this turn.
    woken: Vec<(Id, u64)>,
}

impl Worker {
    /// The worker with this number, with nothing to serve.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(
        number: u8,
        wake_table: Arc<WakeTable>,
        mailbox: Arc<Mailbox>,
        peers: Arc<[Arc<Mailbox>]>,
        clock: Clock,
    ) -> io::Result<Self> {
        let core = Core::new(number, wake_table, mailbox, peers, clock)?;
        let waker = core.mailbox.waker().as_fd();
        core.epoll.add(waker, WAKER, Interest::WAKE)?;
        Ok(Self {
            core: Rc::new(core),
            events: Events::with_capacity(EVENTS),
            acceptors: Acceptors::new(number),
            streams: Streams::new(),
            datagrams: Datagrams::default(),
            pacer: Pacer::default(),
            reload: Reload::default(),
            woken: Vec::new(),
        })
    }

    /// Runs `work` with this worker's core as the one that answers host calls on this thread, of instances of `registry`.
    pub fn with_host<T>(
        &mut self,
        registry: &Registry,
        marker: &'static CallMarker,
        work: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let core = Rc::clone(&self.core);
        boundary::serve(registry, &*core, marker, || work(self))
    }

    /// Is the shutdown announced and nothing left? Then the mailbox is closed too, and no command comes any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.core.phase.get().is_some()
            && self.core.table.len() == 0
            && self.core.ready.is_empty()
            && self.core.mailbox.close()
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("live", &self.core.table.len())
            .finish_non_exhaustive()
    }
}
