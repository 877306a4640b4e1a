//! What a stream, a socket and a flow have in common.

use std::cell::{Cell, Ref, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::{Id, Kind};
use polyport_host::stream::{DialOrigin, PluginState};

use super::flag::{Flag, Flags};
use super::group::Group;
use super::timers::PluginTimers;
use crate::admit::Permit;
use crate::service::Service;
use crate::time::TimerKey;

/// See the module's text. Its [`Flags`] are reached by dereference.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: Id,
    service: RefCell<Arc<Service>>,
    /// Name of the listener; empty when dialled.
    pub(crate) listener: Arc<str>,
    /// The dial that it is the result of.
    pub(crate) dialled: Option<Box<DialOrigin>>,
    /// The handler's state.
    pub(crate) state: Cell<PluginState>,
    flags: Flags,
    /// Dials of this object that are under way or whose result lives.
    pub(crate) dials: Cell<u32>,
    /// Its dials and its dialler are of one group; `None`: neither exists.
    pub(crate) group: RefCell<Option<Rc<Group>>>,
    /// Timers of the handler.
    pub(crate) timers: RefCell<PluginTimers>,
    /// The entry for its next timeout in the worker's timers, and when that is due, nanoseconds.
    pub(crate) timeout: Cell<Option<(TimerKey, u64)>>,
    /// When its own drain ends by force, nanoseconds; 0: it has none.
    pub(crate) drain_until: Cell<u64>,
    pub(crate) permit: RefCell<Option<Permit>>,
}

impl Object {
    /// An object of a service that no handler knows yet.
    pub(crate) fn new(
        id: Id,
        service: Arc<Service>,
        listener: Arc<str>,
        dialled: Option<DialOrigin>,
        permit: Option<Permit>,
    ) -> Self {
        Self {
            id,
            service: RefCell::new(service),
            listener,
            dialled: dialled.map(Box::new),
            state: Cell::new(PluginState::NONE),
            flags: Flags::default(),
            dials: Cell::new(0),
            group: RefCell::default(),
            timers: RefCell::default(),
            timeout: Cell::new(None),
            drain_until: Cell::new(0),
            permit: RefCell::new(permit),
        }
    }

    /// Its service. A borrow may be held while the handler is called: the service changes only between two callbacks.
    #[inline]
    pub(crate) fn service(&self) -> Ref<'_, Arc<Service>> {
        self.service.borrow()
    }

    /// The number of its instance.
    #[inline]
    pub(crate) fn instance(&self) -> u32 {
        self.service.borrow().instance.index()
    }

    /// Binds it to another service, between two callbacks.
    pub(crate) fn rebind(&self, service: &Arc<Service>) {
        let before = self.service.replace(Arc::clone(service));
        if self.id.kind() != Some(Kind::Socket) {
            service.began();
            before.ended();
        }
    }

    /// May its handler be called about it? (Of a socket or a flow; a stream has further conditions.)
    pub(crate) fn is_callable(&self) -> bool {
        !self.has(Flag::ENDED.or(Flag::SUPPRESSED))
    }
}

impl Deref for Object {
    type Target = Flags;

    fn deref(&self) -> &Flags {
        &self.flags
    }
}
