//! The table of a worker: its streams, sockets and flows by slot.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use polyport_host::id::Id;

use super::{Flow, Object, Socket, Stream};

/// Something with an id.
#[derive(Debug, Clone)]
pub(crate) enum Entity {
    Stream(Rc<Stream>),
    Socket(Rc<Socket>),
    Flow(Rc<Flow>),
}

impl Entity {
    pub(crate) fn object(&self) -> &Object {
        match self {
            Self::Stream(stream) => &stream.object,
            Self::Socket(socket) => &socket.object,
            Self::Flow(flow) => &flow.object,
        }
    }
}

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: RefCell<Vec<Option<Entity>>>,
    count: Cell<usize>,
    streams: Cell<usize>,
}

impl Table {
    /// Puts an entity into the slot of its id.
    pub(crate) fn insert(&self, entity: Entity) {
        let mut slots = self.slots.borrow_mut();
        let index = entity.object().id.index();
        if slots.len() <= index {
            slots.resize(index + 1, None);
        }
        if let Some(slot) = slots.get_mut(index) {
            self.count
                .set(self.count.get() + usize::from(slot.is_none()));
            let is_stream = !matches!(entity, Entity::Socket(_));
            self.streams
                .set(self.streams.get() + usize::from(is_stream));
            *slot = Some(entity);
        }
    }

    /// Takes out the entity with this very id; returns whether it was there.
    pub(crate) fn remove(&self, id: Id) -> bool {
        let mut slots = self.slots.borrow_mut();
        let slot = slots
            .get_mut(id.index())
            .filter(|slot| slot.as_ref().is_some_and(|entity| entity.object().id == id));
        let Some(slot) = slot else { return false };
        let is_stream = !matches!(slot, Some(Entity::Socket(_)));
        self.streams
            .set(self.streams.get() - usize::from(is_stream));
        *slot = None;
        self.count.set(self.count.get() - 1);
        true
    }

    #[inline]
    pub(crate) fn get(&self, id: Id) -> Option<Entity> {
        let slots = self.slots.borrow();
        slots
            .get(id.index())?
            .as_ref()
            .filter(|entity| entity.object().id == id)
            .cloned()
    }

    #[inline]
    pub(crate) fn stream(&self, id: Id) -> Option<Rc<Stream>> {
        match self.slots.borrow().get(id.index()) {
            Some(Some(Entity::Stream(stream))) if stream.object.id == id => Some(Rc::clone(stream)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn socket(&self, id: Id) -> Option<Rc<Socket>> {
        match self.slots.borrow().get(id.index()) {
            Some(Some(Entity::Socket(socket))) if socket.object.id == id => Some(Rc::clone(socket)),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn flow(&self, id: Id) -> Option<Rc<Flow>> {
        match self.slots.borrow().get(id.index()) {
            Some(Some(Entity::Flow(flow))) if flow.object.id == id => Some(Rc::clone(flow)),
            _ => None,
        }
    }

    /// How many slots were ever used at once.
    pub(crate) fn slots(&self) -> usize {
        self.slots.borrow().len()
    }

    /// What is in one slot; `None` past the last one. For walks that go on while the table changes.
    pub(crate) fn slot(&self, index: usize) -> Option<Option<Entity>> {
        self.slots.borrow().get(index).cloned()
    }

    /// All that live, one after the other; what is inserted meanwhile may be left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Entity> + '_ {
        (0..).map_while(|index| self.slot(index)).flatten()
    }

    /// How many streams, sockets and flows there are.
    pub(crate) fn len(&self) -> usize {
        self.count.get()
    }

    /// How many streams and flows there are.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }
}
