//! An instance: a handler with its configuration, created from one generation. Typed calls on it stand in
//! `stream`, `datagram` (`[io]`, by workers) and `hooks` (`[ctl]`, by its keeper).

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use crate::generation::{Generation, Handler};
use crate::hub::{InstanceName, hub};
use crate::id::Id;

/// See the module's text. Shared by its keeper and all workers that serve it.
pub struct Instance {
    index: u32,
    id: Id,
    name: InstanceName,
    generation: Arc<Generation>,
    handler: Handler,
    /// What `create` returned; null before it.
    this: AtomicPtr<c_void>,
    /// `create` ended well, and `destroy` has not begun: else no other hook is called.
    created: AtomicBool,
}

impl Instance {
    /// Gives a handler of a generation a name and a number; `create` is still to be called, by its keeper.
    #[must_use]
    pub fn new(name: &str, generation: Arc<Generation>, handler: Handler) -> Arc<Self> {
        let name = InstanceName {
            instance: name.to_owned(),
            plugin: generation.name.clone(),
            generation: generation.number,
        };
        let (index, id) = hub().join(name.clone());
        let this = AtomicPtr::new(std::ptr::null_mut());
        Arc::new(Self {
            index,
            id,
            name,
            generation,
            handler,
            this,
            created: AtomicBool::new(false),
        })
    }

    /// Its number in the hub.
    #[must_use]
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its id as plugins see it.
    #[must_use]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Who it is, for messages.
    #[must_use]
    pub fn name(&self) -> &InstanceName {
        &self.name
    }

    /// The code it runs.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// The handler it runs.
    #[must_use]
    pub fn handler(&self) -> &Handler {
        &self.handler
    }

    /// Did `create` end well, and has `destroy` not begun?
    #[must_use]
    pub fn is_created(&self) -> bool {
        self.created.load(Ordering::Acquire)
    }

    /// The plugin's own pointer, given back in each call.
    pub(crate) fn this(&self) -> *mut c_void {
        self.this.load(Ordering::Relaxed)
    }

    /// Set by `create`, before any other call can be made: the keeper's answer orders it before all `[io]` calls.
    pub(crate) fn set_this(&self, this: *mut c_void) {
        self.this.store(this, Ordering::Relaxed);
        self.created.store(true, Ordering::Release);
    }

    /// `destroy` begins: nothing else is called any more.
    pub(crate) fn end(&self) {
        self.created.store(false, Ordering::Release);
    }
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
