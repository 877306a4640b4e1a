//! The world: all that serves, as one value. A change builds the next one beside it and swaps the two; whoever asks
//! meanwhile sees the one or the other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use polyport_config::{Config, ListenAddress};
use polyport_host::generation::Generation;
use polyport_host::hook_thread::HookThread;

use crate::control::desired::{DesiredState, File, HandlerRef};
use crate::control::listen::bind::ListenSocket;
use crate::control::listen::fdstore::fdstore_name;
use crate::control::service_manager::ServiceManager;
use polyport_common::wait_group::{Token, WaitGroup, wait_group};
use polyport_data::admit::{Limit, Permits};
use polyport_data::service::Service;

/// See the module's text.
#[derive(Debug, Default)]
pub struct RunningState {
    /// Counts changes; 0 is the one in which nothing serves yet.
    pub number: u64,
    /// What was asked for; `None` before the first change.
    pub config: Option<Arc<Config>>,
    /// The plugin files, each with the generation that serves for it.
    pub files: Vec<(File, Arc<Generation>)>,
    /// Where the instances come from.
    pub handlers: HashMap<String, HandlerRef>,
    /// Instances, in the order of their start.
    pub instances: Vec<Arc<InstanceHandle>>,
    /// Services as workers see them, in the order of the configuration.
    pub services: Vec<Arc<Service>>,
    /// `ServiceQuota` for the streams of each service, by its name.
    pub quotas: HashMap<String, ServiceQuota>,
    /// Open sockets.
    pub sockets: Vec<OpenListener>,
}

/// `ServiceQuota` for the streams of a service: its bound outlives changes of it, for the streams that live count on.
#[derive(Debug, Clone)]
pub struct ServiceQuota {
    /// The service's own bound.
    pub limit: Arc<Limit>,
    /// That and the daemon's.
    pub permits: Arc<Permits>,
}

/// An open socket.
#[derive(Debug, Clone)]
pub struct OpenListener {
    /// As in the configuration.
    pub wanted: ListenAddress,
    /// Whose it is.
    pub service: String,
    /// The socket.
    pub opened: ListenSocket,
}

/// An instance and how far its life has come.
#[derive(Debug)]
pub struct InstanceHandle {
    /// `HookCalls` its hooks.
    pub hook_thread: Arc<HookThread>,
    /// `InstanceHandle` open by every service that uses it.
    pub users: WaitGroup,
    /// Its streams and flows that live.
    pub live: Arc<AtomicU64>,
    /// `start` was called, and `stop` was not.
    started: AtomicBool,
    /// Its state is put to rest at its end: it has no successor that has it.
    owns_state: AtomicBool,
    /// What its health hook said.
    pub health: Health,
    /// It may dial on its own.
    dials: Mutex<bool>,
}

/// What the health hook of an instance said.
#[derive(Debug, Default)]
pub struct Health {
    /// It was asked at least once.
    asked: AtomicBool,
    /// All times that it failed.
    failures: AtomicU64,
    /// It failed the last time.
    failing: AtomicBool,
}

impl RunningState {
    /// The instance of a name.
    #[must_use]
    pub fn instance(&self, name: &str) -> Option<&Arc<InstanceHandle>> {
        self.instances.iter().find(|handle| handle.name() == name)
    }

    /// The service of a name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.iter().find(|service| service.name == name)
    }

    /// The same without its sockets: they close when the last worker lets go of them.
    #[must_use]
    pub fn without_sockets(&self) -> Self {
        Self {
            number: self.number,
            config: self.config.clone(),
            files: Vec::new(),
            handlers: HashMap::new(),
            instances: self.instances.clone(),
            services: self.services.clone(),
            quotas: self.quotas.clone(),
            sockets: Vec::new(),
        }
    }

    /// The daemon stops, and removes the files of its Unix sockets: nobody could reach them if they were kept.
    pub fn forget_files(&self, manager: &ServiceManager) {
        for open in &self.sockets {
            if let ListenAddress::Unix(_) | ListenAddress::Unixgram(_) = open.wanted {
                open.forget(manager);
            }
        }
    }

    /// This world as something to go back to; `None` before the first change.
    #[must_use]
    pub fn as_target(&self) -> Option<DesiredState> {
        let again = |(file, generation): &(File, Arc<Generation>)| file.again(generation);
        Some(DesiredState {
            config: Config::clone(self.config.as_deref()?),
            files: self.files.iter().map(again).collect(),
            handlers: self.handlers.clone(),
        })
    }
}

impl OpenListener {
    /// The service manager need not keep it any more.
    pub fn forget(&self, manager: &ServiceManager) {
        if let Some(name) = fdstore_name(&self.wanted) {
            manager.unstore(&name);
        }
    }
}

impl InstanceHandle {
    /// An instance whose `create` is to be called.
    #[must_use]
    pub fn new(hook_thread: Arc<HookThread>) -> Arc<Self> {
        Arc::new(Self {
            hook_thread,
            users: wait_group(),
            live: Arc::default(),
            started: AtomicBool::new(false),
            owns_state: AtomicBool::new(true),
            health: Health::default(),
            dials: Mutex::new(true),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.hook_thread.instance().name().instance
    }

    /// A pass for a dial of its own, unless it is about to end.
    #[must_use]
    pub fn dial_pass(&self) -> Option<Token> {
        let dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: who ends it either sees this pass, or this sees that it ends.
        dials.then(|| self.users.token())
    }

    /// It is about to end: it dials no more.
    pub fn end_dials(&self) {
        *self.dials.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Was `start` called, and `stop` not?
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Noted before `start` and before `stop` are called, so that neither is called twice.
    pub fn set_started(&self, started: bool) -> bool {
        self.started.swap(started, Ordering::Relaxed)
    }

    /// Is its state to be put to rest at its end?
    #[must_use]
    pub fn owns_state(&self) -> bool {
        self.owns_state.load(Ordering::Relaxed)
    }

    /// A successor has its state from now on, or has it no more.
    pub fn set_owns_state(&self, owns: bool) {
        self.owns_state.store(owns, Ordering::Relaxed);
    }
}

impl Health {
    /// Notes an answer.
    pub fn note(&self, good: bool) {
        self.asked.store(true, Ordering::Relaxed);
        self.failing.store(!good, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(!good), Ordering::Relaxed);
    }

    /// Is it healthy by its last word? `None`: it was not asked yet.
    #[must_use]
    pub fn is_good(&self) -> Option<bool> {
        self.asked
            .load(Ordering::Relaxed)
            .then(|| !self.failing.load(Ordering::Relaxed))
    }

    /// How often it failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// An instance that serves no new streams, and waits for those that it has.
#[derive(Debug, Clone)]
pub struct Retiring {
    /// The instance.
    pub handle: Arc<InstanceHandle>,
    /// Why: `new code`, `removed`.
    pub why: String,
    /// When its streams are told to end; `None`: when they like.
    pub until: Option<Instant>,
}
