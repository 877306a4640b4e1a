//! The data plane as control sees it: mailboxes for commands, counters to read, threads to join.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::sync::{Arc, Weak};

use polyport_host::boundary::Observation;
use polyport_host::registry::registry;
use polyport_host::status::HostError;
use polyport_host::wake_table::WakeTable;
use tokio::sync::{Mutex, mpsc};

use polyport_common::shutdown::Signal as ShutdownSignal;
use polyport_common::tasks;
use polyport_common::wait_group::{Token, WaitGroup, wait_group};
use polyport_data::Standby;
use polyport_data::listen::Listener;
use polyport_data::service::Service;
use polyport_data::snapshot::Snapshot;
use polyport_data::worker::watchdog::Watchdog;
use polyport_data::worker::{self, WorkerHandle, WorkerSetup};
use polyport_data::{Command, Mailbox};

type Mailboxes = Arc<[Arc<Mailbox>]>;

/// The workers. Before they run, commands go nowhere and counters are 0.
#[derive(Debug, Default)]
pub struct DataPlane {
    /// Made before any plugin is loaded, because plugins use the wake tables.
    mailboxes: OnceCell<(Mailboxes, Vec<Arc<WakeTable>>)>,
    workers: OnceCell<Workers>,
    /// Number of the worker that gets the next datagram socket.
    next_worker: Cell<u8>,
    /// Announces the phases of the shutdown.
    pub shutdown: ShutdownSignal,
}

/// Workers that run.
#[derive(Debug)]
struct Workers {
    mailboxes: Mailboxes,
    handles: RefCell<Vec<WorkerHandle>>,
    watchdog: RefCell<Option<Watchdog>>,
    /// Forwards the phases of the shutdown to the workers.
    _phases: tasks::Group,
    /// Locked by whoever waits for the end of a worker.
    ended: Mutex<mpsc::Receiver<(u8, io::Result<()>)>>,
    /// Listeners that a stuck worker may hold open.
    listeners: RefCell<Vec<Weak<Listener>>>,
}

impl DataPlane {
    /// Makes mailboxes for this many workers, and registers their wake tables so that plugins can wake streams.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn open(&self, workers: u8) -> io::Result<()> {
        let mailboxes: io::Result<Vec<_>> = (0..workers).map(|_| Mailbox::new()).collect();
        let mailboxes: Mailboxes = mailboxes?.into();
        let wake_tables: Vec<_> = (0..workers)
            .zip(&*mailboxes)
            .map(|(number, mailbox)| {
                let mailbox = Arc::clone(mailbox);
                Arc::new(WakeTable::new(number, Box::new(move || mailbox.wake())))
            })
            .collect();
        registry().set_wake_tables(wake_tables.clone());
        // Opened once, by the first change.
        drop(self.mailboxes.set((mailboxes, wake_tables)));
        Ok(())
    }

    /// Starts the threads, unless they run.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(&self) -> io::Result<()> {
        if let (None, Some((mailboxes, wake_tables))) = (self.workers.get(), self.mailboxes.get()) {
            let workers = Workers::start(mailboxes, wake_tables, &self.shutdown)?;
            drop(self.workers.set(workers));
        }
        Ok(())
    }

    /// Lets instances dial, each on the worker that its index selects. `service_of` makes the pseudo-service of a dial.
    pub fn set_diallers(
        &self,
        service_of: impl Fn(u32) -> Option<Arc<Service>> + Send + Sync + 'static,
    ) {
        let Some((mailboxes, _)) = self.mailboxes.get() else {
            return;
        };
        let mailboxes = Arc::clone(mailboxes);
        registry().set_dialler(Box::new(move |instance, dial| {
            let service = service_of(instance).ok_or(HostError::Gone)?;
            let mailbox = mailboxes
                .get(instance as usize % mailboxes.len().max(1))
                .ok_or(HostError::Closing)?;
            mailbox.send(Command::Dial(service, dial)).map_err(|_| {
                if mailbox.is_closed() {
                    HostError::Closing
                } else {
                    HostError::Full
                }
            })
        }));
    }

    /// The worker for the next datagram socket: each in turn.
    pub fn next_worker(&self) -> u8 {
        let count = self.mailboxes.get().map_or(1, |(all, _)| all.len().max(1));
        let count = u8::try_from(count).unwrap_or(u8::MAX);
        let worker = self.next_worker.get() % count;
        self.next_worker.set(worker + 1);
        worker
    }

    /// Number of workers that were started.
    pub fn worker_count(&self) -> usize {
        self.running().len()
    }

    /// Lets all workers serve this snapshot. The tokens of the group come back when each does so, or has ended.
    pub fn apply_snapshot(&self, snapshot: &Arc<Snapshot>) -> WaitGroup {
        if let Some(workers) = self.workers.get() {
            workers.remember_listeners(snapshot);
        }
        self.broadcast(|token| Command::Snapshot(Arc::clone(snapshot), token))
    }

    /// Calls nothing of these instances any more until they are resumed; in force once the tokens are back.
    pub fn pause(&self, instances: &Arc<[u32]>) -> WaitGroup {
        self.broadcast(|token| Command::Pause(Arc::clone(instances), token))
    }

    /// Resumes paused instances.
    pub fn resume(&self, instances: &Arc<[u32]>) -> WaitGroup {
        self.broadcast(|token| Command::Resume(Arc::clone(instances), token))
    }

    /// Suspends, resumes or hands off accepting and receiving; in force once the tokens are back.
    pub fn standby(&self, standby: &Standby) -> WaitGroup {
        self.broadcast(|token| Command::Standby(standby.clone(), token))
    }

    /// Sends a command to every worker. Its token comes back too when the worker has ended.
    fn broadcast(&self, command: impl Fn(Token) -> Command) -> WaitGroup {
        let group = wait_group();
        for mailbox in self.running() {
            drop(mailbox.send(command(group.token())));
        }
        group
    }

    /// Waits until a worker ends, and returns why if it was not the shutdown; for ever when none runs.
    pub async fn worker_ended(&self) -> (u8, io::Result<()>) {
        if let Some(workers) = self.workers.get()
            && let Some(ended) = workers.ended.lock().await.recv().await
        {
            return ended;
        }
        std::future::pending().await
    }

    /// Returns whether every worker is stuck in a callback.
    pub fn is_stuck(&self) -> bool {
        let mailboxes = self.running();
        !mailboxes.is_empty() && mailboxes.iter().all(|mailbox| mailbox.is_stuck())
    }

    /// Waits until every worker has closed its listeners.
    pub async fn listeners_closed(&self) {
        for mailbox in self.running() {
            mailbox.listeners_closed().await;
        }
    }

    /// Number of streams and flows.
    pub fn streams(&self) -> usize {
        self.running().iter().map(|mailbox| mailbox.streams()).sum()
    }

    /// Number of streams, flows and sockets.
    pub fn live(&self) -> usize {
        self.running().iter().map(|mailbox| mailbox.live()).sum()
    }

    /// Closes listeners that a stuck worker still holds.
    pub fn close_listeners(&self) {
        if let Some(workers) = self.workers.get() {
            let listeners = workers.listeners.borrow();
            let open = listeners.iter().filter_map(Weak::upgrade);
            open.for_each(|listener| listener.refuse());
        }
    }

    /// Lets no worker enter a plugin any more. Workers that are inside of one are left behind.
    pub fn halt(&self) {
        if let Some(workers) = self.workers.get() {
            let handles = workers.handles.borrow();
            handles.iter().for_each(|worker| worker.marker.halt());
        }
    }

    /// The callbacks that workers are inside of now.
    pub fn current_calls(&self) -> Vec<Observation> {
        self.workers.get().map_or_else(Vec::new, |workers| {
            let handles = workers.handles.borrow();
            let calls = handles.iter().filter_map(|worker| worker.marker.observe());
            calls.collect()
        })
    }

    /// Joins the threads that have ended; returns whether all have.
    pub fn join(&self) -> bool {
        let Some(workers) = self.workers.get() else {
            return true;
        };
        if let Some(watchdog) = workers.watchdog.take() {
            watchdog.end();
        }
        let mut handles = workers.handles.borrow_mut();
        let ended = handles.extract_if(.., |worker| worker.thread.is_finished());
        ended.for_each(|worker| drop(worker.thread.join()));
        handles.is_empty()
    }

    /// The mailboxes of the workers that were started.
    fn running(&self) -> &[Arc<Mailbox>] {
        self.workers.get().map_or(&[], |workers| &workers.mailboxes)
    }
}

impl Workers {
    fn start(
        mailboxes: &Mailboxes,
        wake_tables: &[Arc<WakeTable>],
        shutdown: &ShutdownSignal,
    ) -> io::Result<Self> {
        let mailboxes = Arc::clone(mailboxes);
        let (sender, ended) = mpsc::channel(mailboxes.len().max(1));
        let mut handles = Vec::new();
        for (wake_table, (mailbox, number)) in wake_tables.iter().zip(mailboxes.iter().zip(0_u8..))
        {
            handles.push(worker::start(WorkerSetup {
                number,
                wake_table: Arc::clone(wake_table),
                registry: Arc::clone(registry()),
                mailbox: Arc::clone(mailbox),
                peers: Arc::clone(&mailboxes),
                present: shutdown.token(),
                ended: sender.clone(),
            })?);
        }
        let mut phases = tasks::Group::new();
        phases.start(worker::forward_phases(
            shutdown.subscribe(),
            Arc::clone(&mailboxes),
        ));
        let watched = handles
            .iter()
            .map(|worker| (worker.marker, Arc::clone(&worker.mailbox)));
        let watchdog = RefCell::new(Some(Watchdog::start(Arc::clone(registry()), watched)?));
        Ok(Self {
            mailboxes,
            handles: RefCell::new(handles),
            watchdog,
            _phases: phases,
            ended: Mutex::new(ended),
            listeners: RefCell::default(),
        })
    }

    fn remember_listeners(&self, snapshot: &Snapshot) {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|listener| listener.strong_count() != 0);
        for (listener, _) in &snapshot.listeners {
            let is_new = |one: &Weak<Listener>| !std::ptr::eq(one.as_ptr(), &raw const **listener);
            if listeners.iter().all(is_new) {
                listeners.push(Arc::downgrade(listener));
            }
        }
    }
}
