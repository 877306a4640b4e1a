//! What lives: everything that changes have made and a stop must end. One task uses it, so that cells suffice; no
//! borrow is held over a wait.

use std::cell::{Cell, OnceCell, RefCell};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::{Config, ListenAddress};
use polyport_host::generation::Generation;
use polyport_sys::Inherited;
use tokio::sync::Notify;

use crate::control::admin::SocketHandle;
use crate::control::apply::{ApplyError, UndoLog};
use crate::control::data_plane::{Mailboxes, Workers};
use crate::control::desired::load::ValidationCache;
use crate::control::listen::activation::Activation;
use crate::control::listen::bind::{self, BindRetry, ListenSocket};
use crate::control::running::code_cache::CodeCache;
use crate::control::running::services::{DaemonQuota, dialler};
use crate::control::running::state::{InstanceHandle, Retiring, RunningState};
use crate::control::running::store::Store;
use crate::control::service_manager::ServiceManager;
use crate::control::upgrade::{Executable, OldProcess};
use polyport_common::shutdown::Signal as Shutdown;
use polyport_common::wait_group::{WaitGroup, wait_group};

/// See the module's text.
#[derive(Debug)]
pub struct Life {
    /// Where the configuration comes from.
    pub path: PathBuf,
    /// When the process began.
    pub begun: Instant,
    /// Whom the service manager is told by.
    pub manager: ServiceManager,
    /// The program that runs.
    pub executable: Executable,
    /// Who hands over to this process, or has.
    pub old_process: Option<OldProcess>,
    /// The admin socket, for who takes over from this process.
    pub admin: OnceCell<SocketHandle>,
    /// Rings when the predecessor has let go.
    place: Notify,
    /// Why this process cannot begin to serve.
    pub failure: RefCell<Option<String>>,
    /// What the manager or the predecessor passed; taken apart by the first change.
    passed: RefCell<Option<Activation>>,
    /// What the process began with; set by the first change.
    pub initial_config: OnceCell<Arc<Config>>,
    /// All that serves.
    state: RefCell<Arc<RunningState>>,
    /// What a change has made and that does not serve yet.
    pub undo: RefCell<UndoLog>,
    /// Instances that wait for their last streams.
    pub retiring: RefCell<Vec<Retiring>>,
    /// Every generation in memory.
    pub code: RefCell<CodeCache>,
    /// Where state rests, once it is needed.
    pub store: RefCell<Option<Store>>,
    /// `ServiceQuota` for all streams.
    pub room: DaemonQuota,
    /// Deadline of each hook.
    pub hook_timeout: Cell<Duration>,
    /// Grace for streams.
    pub drain_timeout: Cell<Duration>,
    /// Made before any plugin may ask for them.
    mailboxes: OnceCell<Mailboxes>,
    /// The data side, once it runs.
    pub workers: OnceCell<Workers>,
    /// The worker that the next datagram socket goes to.
    next_worker: Cell<u8>,
    /// Announces the shutdown.
    pub shutdown: Shutdown,
}

impl Life {
    /// Nothing lives yet.
    #[must_use]
    pub fn new(path: PathBuf, manager: ServiceManager, executable: Executable) -> Self {
        Self {
            path,
            begun: Instant::now(),
            manager,
            executable,
            old_process: None,
            admin: OnceCell::new(),
            place: Notify::new(),
            failure: RefCell::default(),
            passed: RefCell::default(),
            initial_config: OnceCell::new(),
            state: RefCell::default(),
            undo: RefCell::default(),
            retiring: RefCell::default(),
            code: RefCell::default(),
            store: RefCell::default(),
            room: DaemonQuota::default(),
            hook_timeout: Cell::new(Duration::from_secs(5)),
            drain_timeout: Cell::new(Duration::from_secs(30)),
            mailboxes: OnceCell::new(),
            workers: OnceCell::new(),
            next_worker: Cell::new(0),
            shutdown: Shutdown::new(),
        }
    }

    /// With what was passed to this process.
    #[must_use]
    pub fn after(mut self, old_process: Option<OldProcess>, passed: Vec<Inherited>) -> Self {
        self.old_process = old_process;
        self.passed = RefCell::new(Some(Activation::new(passed)));
        self
    }

    /// Does the process serve that is to hand over to this one?
    #[must_use]
    pub fn is_standby(&self) -> bool {
        self.old_process.as_ref().is_some_and(OldProcess::serves)
    }

    /// What serves here is this process's own from now on: waits until the process before it has let go.
    ///
    /// # Errors
    /// It has not.
    pub async fn take_place(&self) -> Result<(), ApplyError> {
        let Some(old_process) = self.old_process.as_ref().filter(|one| one.serves()) else {
            return Ok(());
        };
        let over = old_process.let_go().await;
        over.map_err(ApplyError::OldProcess)?;
        self.manager.mute(false);
        for open in &self.state().sockets {
            open.opened.share(false);
        }
        if let Some(claim) = self.admin.get() {
            claim.share(false);
        }
        if let Some(passed) = self.passed.take() {
            passed.leftover(&self.manager);
        }
        self.place.notify_one();
        tracing::info!(process = old_process.pid(), "taken over");
        Ok(())
    }

    /// Waits until what serves here is this process's own; at once, if no other process has to let go.
    pub async fn has_place(&self) {
        if self.is_standby() {
            self.place.notified().await;
        }
    }

    /// All that serves now.
    #[must_use]
    pub fn state(&self) -> Arc<RunningState> {
        Arc::clone(&self.state.borrow())
    }

    /// What need not be run by a child again.
    #[must_use]
    pub fn cache(&self) -> ValidationCache {
        let state = self.state();
        let instances = state.config.as_ref().map(|config| config.instances.clone());
        ValidationCache {
            loaded: self.code.borrow().all().to_vec(),
            instances: instances.unwrap_or_default(),
        }
    }

    /// The configuration of an instance that serves, as JSON text.
    #[must_use]
    pub fn configured(&self, instance: &str) -> Option<String> {
        let state = self.state();
        let mut instances = state.config.as_ref()?.instances.iter();
        let found = instances.find(|one| one.name == instance)?;
        Some(found.config.to_json().to_string())
    }

    /// Every instance that is not gone, in an order in which none comes before those that it starts after.
    #[must_use]
    pub fn instances(&self) -> Vec<Arc<InstanceHandle>> {
        let mut all: Vec<_> = self
            .retiring
            .borrow()
            .iter()
            .map(|one| Arc::clone(&one.handle))
            .collect();
        all.extend(self.state().instances.iter().cloned());
        all.extend(self.undo.borrow().instances.iter().cloned());
        all
    }

    /// Makes what plugins need before the first of them is loaded.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn begin(&self, config: &Arc<Config>) -> Result<(), ApplyError> {
        if self.initial_config.set(Arc::clone(config)).is_err() {
            return Ok(());
        }
        self.hook_timeout.set(config.daemon.hook_timeout);
        self.drain_timeout.set(config.daemon.drain_timeout);
        let doors = Mailboxes::new(count(config)).map_err(ApplyError::system("workers"))?;
        // It was empty, as `born` was.
        drop(self.mailboxes.set(doors));
        match polyport_sys::limits::raise_open_files() {
            Ok((before, now)) => tracing::debug!(before, now, "limit of open files"),
            Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        }
        Ok(())
    }

    /// Starts the workers, unless they run.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start_workers(&self) -> Result<(), ApplyError> {
        if let (None, Some(doors)) = (self.workers.get(), self.mailboxes.get()) {
            let workers = Workers::start(doors, &self.shutdown);
            let workers = workers.map_err(ApplyError::system("workers"))?;
            drop(self.workers.set(workers));
        }
        Ok(())
    }

    /// Takes the sockets that were passed to this process for these addresses of these services, and closes the others;
    /// those of a predecessor only once it has let go.
    ///
    /// # Errors
    /// With the place of an address whose socket cannot be used, and why.
    pub fn adopt(
        &self,
        wanted: &[(&ListenAddress, &str)],
    ) -> Result<Vec<Option<ListenSocket>>, (usize, String)> {
        let Some(mut passed) = self.passed.take() else {
            return Ok(vec![None; wanted.len()]);
        };
        let mut all = Vec::new();
        let shared = self.is_standby();
        for (place, (address, service)) in wanted.iter().enumerate() {
            let claimed = passed.claim(address, service);
            let opened =
                claimed.map(|claimed| bind::adopt(address, claimed, self.worker(), shared));
            all.push(opened.transpose().map_err(|reason| (place, reason))?);
        }
        if shared {
            self.passed.replace(Some(passed));
        } else {
            passed.leftover(&self.manager);
        }
        Ok(all)
    }

    /// Opens a socket.
    ///
    /// # Errors
    /// With what to do about it, for the operator.
    pub async fn open(
        &self,
        wanted: &ListenAddress,
        patience: BindRetry,
    ) -> Result<ListenSocket, String> {
        bind::open(wanted, self.worker(), patience).await
    }

    /// The worker for the next datagram socket: each in turn.
    fn worker(&self) -> u8 {
        let workers = self.mailboxes.get().map_or(1, Mailboxes::count).max(1);
        let worker = self.next_worker.get() % workers;
        self.next_worker.set(worker + 1);
        worker
    }

    /// Has workers end all that these instances have; the present world serves on.
    pub fn end_streams_of(&self, instances: &[Arc<InstanceHandle>]) {
        let Some(workers) = self.workers.get() else {
            return;
        };
        let now = Instant::now();
        let mut retiring = self.retiring.borrow().clone();
        retiring.extend(instances.iter().map(|handle| Retiring {
            handle: Arc::clone(handle),
            why: String::new(),
            until: Some(now),
        }));
        // Their passes tell when it is done.
        drop(workers.swap(&Arc::new(self.state().snapshot(&retiring))));
    }

    /// From now on the next world serves; the gate opens when every worker has taken it over.
    pub fn take_over(&self, next: RunningState) -> WaitGroup {
        let snapshot = Arc::new(next.snapshot(&self.retiring.borrow()));
        // First: who still holds a socket that closes keeps people waiting in its queue.
        self.state.replace(Arc::new(next));
        match self.workers.get() {
            Some(workers) => workers.swap(&snapshot),
            None => wait_group(),
        }
    }

    /// Leaves the sockets to the workers, which close them.
    pub fn let_go_of_sockets(&self) {
        self.undo.borrow_mut().opened.clear();
        let without = self.state().without_sockets();
        self.state.replace(Arc::new(without));
    }

    /// Lets exactly the instances that live dial.
    pub fn refresh_dials(&self) {
        let Some(doors) = self.mailboxes.get() else {
            return;
        };
        let (room, grace) = (self.room.clone(), self.drain_timeout.get());
        let instances = self.instances();
        doors.take_dials(move |index| {
            let mut all = instances.iter();
            let handle = all.find(|handle| handle.hook_thread.instance().index() == index)?;
            dialler(handle, &room, grace).map(Arc::new)
        });
    }

    /// Streams, flows and draining sockets that live.
    #[must_use]
    pub fn live(&self) -> usize {
        self.workers.get().map_or(0, Workers::live)
    }

    /// Waits until a worker ends, and says why if it was not the shutdown; for ever when there is none.
    pub async fn worker_ended(&self) -> (u8, io::Result<()>) {
        match self.workers.get() {
            Some(workers) => workers.ended().await,
            None => std::future::pending().await,
        }
    }

    /// An instance is gone.
    pub fn forget(&self, handle: &Arc<InstanceHandle>) {
        let mut retiring = self.retiring.borrow_mut();
        retiring.retain(|one| !Arc::ptr_eq(&one.handle, handle));
        drop(retiring);
        self.refresh_dials();
    }

    /// Gives up generations that nothing runs in and that nobody would go back to, `kept` aside.
    #[must_use]
    pub fn give_up(&self, kept: &[Arc<Generation>]) -> Vec<Arc<Generation>> {
        let instances = self.instances();
        let state = self.state();
        self.code.borrow_mut().give_up(|generation| {
            let is = |one: &Arc<Generation>| Arc::ptr_eq(one, generation);
            let serves = state.files.iter().any(|(_, one)| is(one));
            let mut instances = instances.iter().map(|handle| handle.hook_thread.instance());
            serves || kept.iter().any(is) || instances.any(|one| is(one.generation()))
        })
    }
}

fn count(config: &Config) -> u8 {
    let wanted = match config.daemon.workers {
        polyport_config::Workers::Auto => {
            std::thread::available_parallelism().map_or(1, usize::from)
        }
        polyport_config::Workers::Count(count) => count,
    };
    // Ids have room for so many; one number is kept for what belongs to no worker.
    u8::try_from(wanted.clamp(1, 250)).unwrap_or(250)
}
