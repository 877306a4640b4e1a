//! A group: an object, what it dialled, what those dialled, and so on. Members may act on each other in callbacks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use polyport_host::id::Id;

/// See the module's text. Made by the first dial of an object.
#[derive(Debug)]
pub(crate) struct Group {
    /// The member that accepted or dialled the first connection.
    pub(crate) root: Id,
    members: RefCell<BTreeSet<Id>>,
    /// Dials that are not an object yet, or failed without the dialler having been notified yet.
    pending: Cell<usize>,
}

impl Group {
    /// With its root as the only member.
    pub(crate) fn new(root: Id) -> Self {
        Self {
            root,
            members: RefCell::new(BTreeSet::from([root])),
            pending: Cell::new(0),
        }
    }

    pub(crate) fn join(&self, id: Id) {
        self.members.borrow_mut().insert(id);
    }

    pub(crate) fn remove(&self, id: Id) {
        self.members.borrow_mut().remove(&id);
    }

    /// A dial begins.
    pub(crate) fn begin_dial(&self) {
        self.pending.set(self.pending.get() + 1);
    }

    /// A dial has become a member, or its failure was notified.
    pub(crate) fn end_dial(&self) {
        self.pending.set(self.pending.get().saturating_sub(1));
    }

    /// Is the root the only one left?
    pub(crate) fn is_root_alone(&self) -> bool {
        self.pending.get() == 0 && self.members.borrow().iter().all(|id| *id == self.root)
    }

    /// Are dials under way, or failures not notified yet?
    pub(crate) fn has_pending(&self) -> bool {
        self.pending.get() != 0
    }

    /// The members, in a stable order.
    pub(crate) fn members(&self) -> Vec<Id> {
        self.members.borrow().iter().copied().collect()
    }
}
