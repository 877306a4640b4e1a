//! An instance of a plugin, from `create` to `destroy`, as control sees it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use polyport_host::generation::Generation;
use polyport_host::hook_thread::HookThread;

use polyport_common::wait_group::{Token, WaitGroup, wait_group};

/// Logs an event of an instance: level, handle, further fields and the message.
macro_rules! log_instance {
    ($level:ident, $handle:expr, $($event:tt)+) => {{
        let name = $handle.hook_thread.instance().name();
        let (instance, plugin, generation) = (&name.instance, &name.plugin, name.generation);
        tracing::$level!(instance, plugin, generation, $($event)+);
    }};
}
pub(in crate::control) use log_instance;

/// An instance and the stage of its life.
#[derive(Debug)]
pub struct InstanceHandle {
    /// Calls the hooks of the instance.
    pub hook_thread: Arc<HookThread>,
    /// One token for each service or dial that uses the instance.
    pub users: WaitGroup,
    /// Number of its streams and flows.
    pub live: Arc<AtomicU64>,
    /// `start` was called, and `stop` was not.
    started: AtomicBool,
    /// The instance saves its state when it ends. False once a replacement has the state.
    owns_state: AtomicBool,
    /// Results of its health hook.
    pub health: Health,
    /// The instance may dial on its own.
    dials: Mutex<bool>,
}

/// Results of the health hook of an instance.
#[derive(Debug, Default)]
pub struct Health {
    checked: AtomicBool,
    failures: AtomicU64,
    failing: AtomicBool,
}

/// An instance that gets no new streams and ends when its last one has ended.
#[derive(Debug, Clone)]
pub struct Retiring {
    /// The instance.
    pub handle: Arc<InstanceHandle>,
    /// Why, for listings: `removed`, `replaced by generation 3`.
    pub why: String,
    /// When its streams are drained; `None`: they end by themselves.
    pub until: Option<Instant>,
}

impl InstanceHandle {
    /// An instance before its `create`.
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
    pub fn name(&self) -> &str {
        &self.hook_thread.instance().name().instance
    }

    /// Its index in the registry of the host, by which workers know it.
    pub fn index(&self) -> u32 {
        self.hook_thread.instance().index()
    }

    /// Returns whether the instance runs code of this generation.
    pub fn runs(&self, generation: &Arc<Generation>) -> bool {
        Arc::ptr_eq(self.hook_thread.instance().generation(), generation)
    }

    /// A token for a dial of the instance's own, or `None` once the instance ends.
    pub fn dial_token(&self) -> Option<Token> {
        let dials = self.dials.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken under the lock: `end_dials` either waits for this token or prevents it.
        dials.then(|| self.users.token())
    }

    /// Forbids further dials: the instance is about to end.
    pub fn end_dials(&self) {
        *self.dials.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// Returns whether `start` was called and `stop` was not.
    pub fn is_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Set before `start` and before `stop` are called, so that neither is called twice. Returns the previous value.
    pub fn set_started(&self, started: bool) -> bool {
        self.started.swap(started, Ordering::Relaxed)
    }

    /// Returns whether the instance is to save its state when it ends.
    pub fn owns_state(&self) -> bool {
        self.owns_state.load(Ordering::Relaxed)
    }

    /// The state was handed over: only the replacement saves it from now on.
    pub fn give_up_state(&self) {
        self.owns_state.store(false, Ordering::Relaxed);
    }
}

impl Health {
    /// Records a result of the hook.
    pub fn record(&self, good: bool) {
        self.checked.store(true, Ordering::Relaxed);
        self.failing.store(!good, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(!good), Ordering::Relaxed);
    }

    /// The last result; `None` before the first.
    pub fn is_good(&self) -> Option<bool> {
        let checked = self.checked.load(Ordering::Relaxed);
        checked.then(|| !self.failing.load(Ordering::Relaxed))
    }

    /// Number of failures so far.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
