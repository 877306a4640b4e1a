//! What runs in this process: the [`RunningState`], instances beside it that start or retire, loaded code and the state
//! store. How instances are called, saved and torn down.
//!
//! One task uses the [`Inventory`], so cells suffice; no borrow is held over an `await`.

pub mod state;
pub mod instance;
pub mod plugin_file;
pub mod services;
pub mod code_cache;
pub mod hooks;
pub mod teardown;
pub mod retire;
pub mod save;
pub mod state_store;
pub mod fence;

use std::cell::{Cell, OnceCell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::Config;
use polyport_host::generation::Generation;

use super::data_plane::DataPlane;
use code_cache::CodeCache;
pub use instance::{InstanceHandle, Retiring};
pub use plugin_file::{FileSource, HandlerRef, PluginFile};
use polyport_common::wait_group::WaitGroup;
use services::{DaemonQuota, dialler};
pub use state::{OpenListener, RunningState};
use state_store::StateStore;

/// Everything that changes have made and a stop has to end.
#[derive(Debug)]
pub struct Inventory {
    state: RefCell<Arc<RunningState>>,
    /// Instances that were created and do not serve yet. A stop that breaks a change off finds them here.
    pub starting: RefCell<Vec<Arc<InstanceHandle>>>,
    /// Instances that wait for the end of their last streams.
    pub retiring: RefCell<Vec<Retiring>>,
    /// Every generation in memory.
    pub code: RefCell<CodeCache>,
    /// Opened when the first handler that keeps state is used.
    pub store: RefCell<Option<StateStore>>,
    /// The configuration of the first change; some keys of a later one wait for a restart.
    pub initial_config: OnceCell<Arc<Config>>,
    /// The quota of all streams.
    pub quota: DaemonQuota,
    /// Deadline of each hook.
    pub hook_timeout: Cell<Duration>,
    /// Grace period of streams.
    pub drain_timeout: Cell<Duration>,
}

impl Default for Inventory {
    fn default() -> Self {
        Self {
            state: RefCell::default(),
            starting: RefCell::default(),
            retiring: RefCell::default(),
            code: RefCell::default(),
            store: RefCell::default(),
            initial_config: OnceCell::new(),
            quota: DaemonQuota::default(),
            hook_timeout: Cell::new(Duration::from_secs(5)),
            drain_timeout: Cell::new(Duration::from_secs(30)),
        }
    }
}

impl Inventory {
    /// The present state.
    pub fn state(&self) -> Arc<RunningState> {
        Arc::clone(&self.state.borrow())
    }

    /// Every instance that is not destroyed. Each comes after the instances that it starts after.
    pub fn instances(&self) -> Vec<Arc<InstanceHandle>> {
        let retiring = self.retiring.borrow();
        let mut all: Vec<_> = retiring.iter().map(|one| Arc::clone(&one.handle)).collect();
        all.extend(self.state().instances.iter().cloned());
        all.extend(self.starting.borrow().iter().cloned());
        all
    }

    /// Replaces the present state. The tokens of the group come back when every worker serves the new one.
    pub fn replace_state(&self, next: RunningState, plane: &DataPlane) -> WaitGroup {
        let snapshot = Arc::new(next.snapshot(&self.retiring.borrow()));
        // The old state goes first: connections that arrive at a closing socket would wait as long as it is held here.
        self.state.replace(Arc::new(next));
        plane.apply_snapshot(&snapshot)
    }

    /// Leaves the listeners to the workers, which close them.
    pub fn drop_listeners(&self) {
        let without = self.state().without_listeners();
        self.state.replace(Arc::new(without));
    }

    /// Lets workers end all streams and flows of these instances; the present state serves on.
    pub fn end_streams_of(&self, instances: &[Arc<InstanceHandle>], plane: &DataPlane) {
        let mut retiring = self.retiring.borrow().clone();
        retiring.extend(instances.iter().map(|handle| Retiring {
            handle: Arc::clone(handle),
            why: String::new(),
            until: Some(Instant::now()),
        }));
        // The users of the instances show when it is done.
        drop(plane.apply_snapshot(&Arc::new(self.state().snapshot(&retiring))));
    }

    /// Allows dials to exactly the instances that are not destroyed.
    pub fn refresh_dials(&self, plane: &DataPlane) {
        let (quota, grace) = (self.quota.clone(), self.drain_timeout.get());
        let instances = self.instances();
        plane.set_diallers(move |index| {
            let handle = instances.iter().find(|handle| handle.index() == index)?;
            dialler(handle, &quota, grace).map(Arc::new)
        });
    }

    /// A retiring instance is destroyed.
    pub fn forget(&self, handle: &Arc<InstanceHandle>, plane: &DataPlane) {
        let mut retiring = self.retiring.borrow_mut();
        retiring.retain(|one| !Arc::ptr_eq(&one.handle, handle));
        drop(retiring);
        self.refresh_dials(plane);
    }

    /// Takes generations out of use that no instance runs and no rollback would return to, except `kept`; `fini` of
    /// what is returned is to be called.
    pub fn release_code(&self, kept: &[Arc<Generation>]) -> Vec<Arc<Generation>> {
        let instances = self.instances();
        let state = self.state();
        self.code.borrow_mut().release(|generation| {
            let is = |one: &Arc<Generation>| Arc::ptr_eq(one, generation);
            let serves = state.files.iter().any(|(_, one)| is(one));
            serves || kept.iter().any(is) || instances.iter().any(|one| one.runs(generation))
        })
    }
}
