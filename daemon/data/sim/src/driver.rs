//! The worker that is simulated: the one file that knows the worker's interface.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use polyport_data::worker::Worker;
use polyport_data::{Clock, Mailbox, ManualClock};
use polyport_host::boundary::CallMarker;
use polyport_host::id::Id;
use polyport_host::registry::Registry;
use polyport_host::wake_table::WakeTable;

pub(crate) use polyport_data::admit::{Limit, Permits};
pub(crate) use polyport_data::listen::{DatagramListener, Listener, Origin, OwnSocket};
pub(crate) use polyport_data::service::{Service, Timeouts};
pub(crate) use polyport_data::snapshot::{Leaving, Snapshot};
pub(crate) use polyport_data::{Accepted, Command, Standby};

/// What other threads may use of the worker.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) registry: Arc<Registry>,
    pub(crate) clock: ManualClock,
    mailbox: Arc<Mailbox>,
    wake_table: Arc<WakeTable>,
}

/// A worker on the calling thread.
pub(crate) struct Driver {
    worker: RefCell<Worker>,
    remote: Remote,
    marker: &'static CallMarker,
}

impl Remote {
    pub(crate) fn send(&self, command: Command) -> bool {
        self.mailbox.send(command).is_ok()
    }

    pub(crate) fn wake(&self, id: u64, bits: u64) -> bool {
        self.wake_table.wake(Id::from_raw(id), bits).is_ok()
    }

    /// The instance that has it, if it is alive.
    pub(crate) fn instance_of(&self, id: u64) -> Option<u32> {
        self.wake_table.instance_of(Id::from_raw(id))
    }

    /// Streams, sockets and flows of the worker.
    pub(crate) fn live(&self) -> usize {
        self.mailbox.live()
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.now()
    }
}

impl Driver {
    pub(crate) fn new(marker: &'static CallMarker, start: u64) -> io::Result<Self> {
        let mailbox = Mailbox::new()?;
        let of_table = Arc::clone(&mailbox);
        let wake_table = Arc::new(WakeTable::new(0, Box::new(move || of_table.wake())));
        let registry = Arc::new(Registry::default());
        registry.set_wake_tables(vec![Arc::clone(&wake_table)]);
        let clock = ManualClock::new(start);
        let peers: Arc<[Arc<Mailbox>]> = Arc::from([Arc::clone(&mailbox)]);
        let worker = Worker::new(
            0,
            Arc::clone(&wake_table),
            Arc::clone(&mailbox),
            peers,
            Clock::manual(clock.clone()),
        )?;
        let remote = Remote {
            registry,
            clock,
            mailbox,
            wake_table,
        };
        Ok(Self {
            worker: RefCell::new(worker),
            remote,
            marker,
        })
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.remote
    }

    /// One turn, without waiting.
    pub(crate) fn turn(&self) -> io::Result<()> {
        let mut worker = self.worker.borrow_mut();
        worker.with_host(&self.remote.registry, self.marker, |worker| {
            worker.turn(Some(Duration::ZERO))
        })
    }

    /// How long the worker would wait for its next timer.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        self.worker.borrow().sleep()
    }

    /// Is the shutdown done?
    pub(crate) fn is_done(&self) -> bool {
        self.worker.borrow().is_done()
    }
}
