//! The data side as control sees it: mailboxes to post to, counts to read, threads to join.

use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Weak};

use polyport_host::boundary::Observation;
use polyport_host::registry::registry;
use polyport_host::status::HostError;
use polyport_host::wake_table::WakeTable;
use tokio::sync::{Mutex, mpsc};

use polyport_common::shutdown::Signal as Shutdown;
use polyport_common::tasks;
use polyport_common::wait_group::{Token, WaitGroup, wait_group};
use polyport_data::accept::Listener;
use polyport_data::engine::Standby;
use polyport_data::service::Service;
use polyport_data::snapshot::Snapshot;
use polyport_data::worker::watchdog::Watchdog;
use polyport_data::worker::{self, Command, Mailbox, WorkerHandle, WorkerSetup};

/// Mailboxes and directories, made before any plugin may ask for them.
#[derive(Debug)]
pub struct Mailboxes {
    mailboxes: Arc<[Arc<Mailbox>]>,
    directories: Vec<Arc<WakeTable>>,
}

impl Mailboxes {
    /// For so many workers; tells the hub, so that plugins can wake what will live there.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(workers: u8) -> io::Result<Self> {
        let mailboxes: io::Result<Vec<_>> = (0..workers).map(|_| Mailbox::new()).collect();
        let mailboxes: Arc<[Arc<Mailbox>]> = mailboxes?.into();
        let directories: Vec<_> = (0..workers)
            .zip(&*mailboxes)
            .map(|(number, mailbox)| {
                let mailbox = Arc::clone(mailbox);
                Arc::new(WakeTable::new(number, Box::new(move || mailbox.wake())))
            })
            .collect();
        registry().set_wake_tables(directories.clone());
        Ok(Self {
            mailboxes,
            directories,
        })
    }

    /// How many workers there are to be.
    #[must_use]
    pub fn count(&self) -> u8 {
        u8::try_from(self.mailboxes.len()).unwrap_or(u8::MAX)
    }

    /// Lets instances dial: each on one worker, by its number. `of_instance` makes what a dial counts against.
    pub fn take_dials(
        &self,
        of_instance: impl Fn(u32) -> Option<Arc<Service>> + Send + Sync + 'static,
    ) {
        let mailboxes = Arc::clone(&self.mailboxes);
        registry().set_dialler(Box::new(move |instance, dial| {
            let service = of_instance(instance).ok_or(HostError::Gone)?;
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
}

/// See the module's text.
#[derive(Debug)]
pub struct Workers {
    mailboxes: Arc<[Arc<Mailbox>]>,
    workers: RefCell<Vec<WorkerHandle>>,
    watchdog: RefCell<Option<Watchdog>>,
    /// Forwards the phases of the shutdown to the workers.
    _phases: tasks::Group,
    /// Locked by the one who waits.
    ended: Mutex<mpsc::Receiver<(u8, io::Result<()>)>>,
    /// To close what a stuck worker holds on to.
    listeners: RefCell<Vec<Weak<Listener>>>,
}

impl Workers {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(mailboxes: &Mailboxes, shutdown: &Shutdown) -> io::Result<Self> {
        let Mailboxes {
            mailboxes,
            directories,
        } = mailboxes;
        let mailboxes = Arc::clone(mailboxes);
        let (ended, ended_receiver) = mpsc::channel(mailboxes.len().max(1));
        let mut workers = Vec::new();
        for (directory, (mailbox, number)) in directories.iter().zip(mailboxes.iter().zip(0_u8..)) {
            workers.push(worker::start(WorkerSetup {
                number,
                wake_table: Arc::clone(directory),
                registry: Arc::clone(registry()),
                mailbox: Arc::clone(mailbox),
                peers: Arc::clone(&mailboxes),
                present: shutdown.token(),
                ended: ended.clone(),
            })?);
        }
        let mut phases = tasks::Group::new();
        phases.start(worker::forward_phases(
            shutdown.subscribe(),
            Arc::clone(&mailboxes),
        ));
        let marker = workers
            .iter()
            .map(|worker| (worker.marker, Arc::clone(&worker.mailbox)));
        let watchdog = RefCell::new(Some(Watchdog::start(marker)?));
        Ok(Self {
            mailboxes,
            workers: RefCell::new(workers),
            watchdog,
            _phases: phases,
            ended: Mutex::new(ended_receiver),
            listeners: RefCell::default(),
        })
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Lets all workers serve this from now on. The gate's passes are back when each does so, or has ended.
    #[must_use]
    pub fn swap(&self, snapshot: &Arc<Snapshot>) -> WaitGroup {
        let mut listeners = self.listeners.borrow_mut();
        listeners.retain(|cache| cache.strong_count() != 0);
        for (listener, _) in &snapshot.listeners {
            let is_new =
                |cache: &Weak<Listener>| !std::ptr::eq(cache.as_ptr(), &raw const **listener);
            if listeners.iter().all(is_new) {
                listeners.push(Arc::downgrade(listener));
            }
        }
        self.tell(|pass| Command::Snapshot(Arc::clone(snapshot), pass))
    }

    /// `HookCalls` nothing of these instances any more until they are released; so it is once the gate's passes are back.
    #[must_use]
    pub fn hold(&self, instances: &Arc<[u32]>) -> WaitGroup {
        self.tell(|pass| Command::Pause(Arc::clone(instances), pass))
    }

    /// Goes on with these instances.
    #[must_use]
    pub fn release(&self, instances: &Arc<[u32]>) -> WaitGroup {
        self.tell(|pass| Command::Resume(Arc::clone(instances), pass))
    }

    /// Leaves those who come to nobody, to this process again, or to another one; so it is once the gate's passes are
    /// back.
    #[must_use]
    pub fn standby(&self, ceding: &Standby) -> WaitGroup {
        self.tell(|pass| Command::Standby(ceding.clone(), pass))
    }

    /// Posts a command to every worker; one that has ended has nothing to do.
    fn tell(&self, command: impl Fn(Token) -> Command) -> WaitGroup {
        let gate = wait_group();
        for mailbox in &*self.mailboxes {
            drop(mailbox.send(command(gate.token())));
        }
        gate
    }

    /// Waits until a worker ends, and says why if it was not the shutdown.
    pub async fn ended(&self) -> (u8, io::Result<()>) {
        match self.ended.lock().await.recv().await {
            Some(ended) => ended,
            // Workers hold the senders, so all have ended and were told of before.
            None => std::future::pending().await,
        }
    }

    /// Is there no worker that is not stuck in a callback?
    #[must_use]
    pub fn are_all_stuck(&self) -> bool {
        self.mailboxes.iter().all(|mailbox| mailbox.is_stuck())
    }

    /// Waits until every worker has closed its listeners.
    pub async fn listeners_closed(&self) {
        for mailbox in &*self.mailboxes {
            mailbox.listeners_closed().await;
        }
    }

    /// Streams and draining sockets that live now.
    #[must_use]
    pub fn live(&self) -> usize {
        self.mailboxes.iter().map(|mailbox| mailbox.live()).sum()
    }

    /// Closes listeners that a stuck worker still holds.
    pub fn refuse_all(&self) {
        for listener in self.listeners.borrow().iter().filter_map(Weak::upgrade) {
            listener.refuse();
        }
    }

    /// Lets no worker enter a plugin any more. Those that still run are given up.
    pub fn halt(&self) {
        let workers = self.workers.borrow();
        workers.iter().for_each(|worker| worker.marker.halt());
    }

    /// The calls that workers are inside of right now.
    #[must_use]
    pub fn inside(&self) -> Vec<Observation> {
        let workers = self.workers.borrow();
        workers
            .iter()
            .filter_map(|worker| worker.marker.look())
            .collect()
    }

    /// Joins the threads that have ended; says whether all have.
    #[must_use]
    pub fn join(&self) -> bool {
        let watchdog = self.watchdog.take();
        if let Some(watchdog) = watchdog {
            watchdog.end();
        }
        let mut workers = self.workers.borrow_mut();
        let ended = workers.extract_if(.., |worker| worker.thread.is_finished());
        ended.for_each(|worker| drop(worker.thread.join()));
        workers.is_empty()
    }
}
