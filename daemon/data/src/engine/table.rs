//! The table of a worker: everything that has an id there, by slot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::Id;

use super::flow::Flow;
use super::socket::Socket;
use super::stream::Stream;
use super::timers::Timers;
use crate::service::Service;

/// Something with an id.
#[derive(Debug, Clone)]
pub(super) enum Entity {
    Stream(Rc<Stream>),
    Socket(Rc<Socket>),
    Flow(Rc<Flow>),
}

impl Entity {
    pub(super) fn id(&self) -> Id {
        match self {
            Self::Stream(stream) => stream.id,
            Self::Socket(socket) => socket.id,
            Self::Flow(flow) => flow.id,
        }
    }

    /// Who answers it now.
    pub(super) fn service(&self) -> Arc<Service> {
        match self {
            Self::Stream(stream) => Arc::clone(&stream.service()),
            Self::Socket(socket) => Arc::clone(&socket.service()),
            Self::Flow(flow) => Arc::clone(&flow.service()),
        }
    }

    pub(super) fn timers(&self) -> &RefCell<Timers> {
        match self {
            Self::Stream(stream) => &stream.timers,
            Self::Socket(socket) => &socket.timers,
            Self::Flow(flow) => &flow.timers,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: RefCell<Vec<Option<Entity>>>,
    count: Cell<usize>,
}

impl Table {
    pub(super) fn put(&self, entity: Entity) {
        let mut slots = self.slots.borrow_mut();
        let index = entity.id().index();
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        if let Some(slot) = slots.get_mut(index) {
            self.count
                .set(self.count.get() + usize::from(slot.is_none()));
            *slot = Some(entity);
        }
    }

    /// Takes out what has this very id; says whether it was there.
    pub(super) fn remove(&self, id: Id) -> bool {
        let mut slots = self.slots.borrow_mut();
        let slot = slots
            .get_mut(id.index())
            .filter(|slot| slot.as_ref().is_some_and(|entity| entity.id() == id));
        let Some(slot) = slot else { return false };
        *slot = None;
        self.count.set(self.count.get() - 1);
        true
    }

    pub(super) fn get(&self, id: Id) -> Option<Entity> {
        let slots = self.slots.borrow();
        slots
            .get(id.index())?
            .as_ref()
            .filter(|entity| entity.id() == id)
            .cloned()
    }

    #[inline]
    pub(super) fn stream(&self, id: Id) -> Option<Rc<Stream>> {
        match self.slots.borrow().get(id.index()) {
            Some(Some(Entity::Stream(stream))) if stream.id == id => Some(Rc::clone(stream)),
            _ => None,
        }
    }

    /// All that live now; for drains, not for the data path.
    pub(super) fn all(&self) -> Vec<Entity> {
        self.slots.borrow().iter().flatten().cloned().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.count.get()
    }
}
