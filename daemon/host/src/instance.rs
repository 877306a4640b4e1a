//! An instance: a handler with its configuration, created from one generation. Its typed calls stand in `callbacks`,
//! `stream` and `datagram` (`[io]`, made by workers), and in `hooks` (`[ctl]`, made by its hook thread).

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use polyport_abi as abi;

use crate::generation::{Generation, Handler};
use crate::id::{Id, SLOTS_MAX};
use crate::registry::{InstanceName, Registry};
use crate::status::CallbackError;

/// Why an instance cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InstanceError {
    /// Every number that an instance can have is in use.
    #[error("all {SLOTS_MAX} numbers of instances are in use")]
    NumbersSpent,
    /// `fini` of the generation was called.
    #[error("this copy of the plugin's code has been retired")]
    Retired,
}

/// See the module's text. The hook thread and all workers that serve the instance share it.
pub struct Instance {
    id: Id,
    name: InstanceName,
    registry: Arc<Registry>,
    generation: Arc<Generation>,
    handler: Handler,
    /// What `create` returned; null before it.
    this: AtomicPtr<c_void>,
    /// `create` has succeeded, and `destroy` has not begun. Otherwise only `create` is called.
    created: AtomicBool,
    panics: AtomicU64,
}

impl Instance {
    /// An instance of a handler of a generation. Its hook thread calls `create` later. A generation may get instances until
    /// it is retired.
    ///
    /// # Errors
    /// See [`InstanceError`].
    pub fn new(
        registry: &Arc<Registry>,
        name: &str,
        generation: Arc<Generation>,
        handler: Handler,
    ) -> Result<Arc<Self>, InstanceError> {
        if generation.is_retired() {
            return Err(InstanceError::Retired);
        }
        let name = InstanceName {
            instance: name.to_owned(),
            plugin: generation.name.clone(),
            generation: generation.number,
        };
        let id = registry
            .join(name.clone())
            .ok_or(InstanceError::NumbersSpent)?;
        generation.instance_made();
        let this = AtomicPtr::new(std::ptr::null_mut());
        Ok(Arc::new(Self {
            id,
            name,
            registry: Arc::clone(registry),
            generation,
            handler,
            this,
            created: AtomicBool::new(false),
            panics: AtomicU64::new(0),
        }))
    }

    /// Its number. No other living instance of the registry has the same.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.id.slot()
    }

    /// The registry that it is in.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Its id as plugins see it.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Its names, for messages.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The code that it runs.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The handler that it runs.
    #[must_use]
    pub fn handler(&self) -> &Handler {
        &self.handler
    }

    /// Has `create` succeeded, and `destroy` not begun?
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.created.load(Ordering::Acquire)
    }

    /// Has the handler `save_state`?
    #[must_use]
    pub fn keeps_state(&self) -> bool {
        self.handler.table.save_state.is_some()
    }

    /// Must at most one generation have its state at a time?
    #[must_use]
    pub fn is_exclusive(&self) -> bool {
        self.handler.flags & abi::PP_HF_EXCLUSIVE != 0
    }

    /// Has its handler `health`?
    #[must_use]
    pub fn has_health(&self) -> bool {
        self.handler.table.health.is_some()
    }

    /// Has its handler `reconfigure`? The call may still return that it is unsupported.
    #[must_use]
    pub fn can_reconfigure(&self) -> bool {
        self.handler.table.reconfigure.is_some()
    }

    /// How often a hook or callback of it has panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// The result of a hook or callback: a status below 0 is an error.
    #[inline]
    pub(crate) fn check(&self, status: abi::PpStatus) -> Result<abi::PpStatus, CallbackError> {
        if status < 0 {
            Err(self.error(status))
        } else {
            Ok(status)
        }
    }

    #[cold]
    pub(crate) fn error(&self, status: abi::PpStatus) -> CallbackError {
        if status == abi::PP_E_PANIC {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        CallbackError(status)
    }

    /// The plugin's own pointer, an argument of each call.
    pub(crate) fn this(&self) -> *mut c_void {
        self.this.load(Ordering::Relaxed)
    }

    /// Stores the result of `create`. The hook thread's answer to that hook orders the store before all `[io]` calls.
    pub(crate) fn set_this(&self, this: *mut c_void) {
        self.this.store(this, Ordering::Relaxed);
        self.created.store(true, Ordering::Release);
    }

    /// Notes that `destroy` begins. No other hook is called afterwards.
    pub(crate) fn end(&self) {
        self.created.store(false, Ordering::Release);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.registry.leave(self.id);
        self.generation.instance_dropped();
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
