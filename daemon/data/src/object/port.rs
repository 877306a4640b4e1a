//! A datagram socket of the kernel. Several generations can share it: the newest binding serves new peers, and
//! superseded ones live on for the peers that have a flow with them.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::Id;
use polyport_sys::datagrams::DatagramSocket;

use crate::listen::{DatagramListener, OwnSocket};

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Port {
    owner: PortOwner,
    /// The socket whose handler gets the datagrams of new peers.
    serving: Cell<Id>,
    /// Sockets that were superseded and have not ended, oldest first.
    superseded: RefCell<Vec<Id>>,
    /// How many datagrams the system has cut.
    pub(crate) truncated: Cell<u64>,
    /// Datagrams for flows of superseded sockets whose instance is paused, in order.
    kept: RefCell<Vec<Kept>>,
    /// Bytes of them, with a fixed share for each datagram.
    kept_bytes: Cell<usize>,
}

/// Bytes that are kept before reading stops.
const KEPT_MAX: usize = 1 << 20;
/// What a kept datagram counts beside its bytes.
const KEPT_SHARE: usize = 128;

/// A run of datagrams of one peer, kept for its flow.
#[derive(Debug)]
pub(crate) struct Kept {
    flow: Id,
    /// When they were received, nanoseconds.
    pub(crate) received: u64,
    pub(crate) datagrams: Vec<KeptDatagram>,
}

/// One datagram of a [`Kept`].
#[derive(Debug)]
pub(crate) struct KeptDatagram {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) truncated: bool,
}

impl Kept {
    /// Copies datagrams: their bytes, and whether each was cut.
    pub(crate) fn new<'a>(
        flow: Id,
        received: u64,
        datagrams: impl Iterator<Item = (&'a [u8], bool)>,
    ) -> Self {
        let copy = |(bytes, truncated): (&[u8], bool)| KeptDatagram {
            bytes: bytes.into(),
            truncated,
        };
        Self {
            flow,
            received,
            datagrams: datagrams.map(copy).collect(),
        }
    }

    fn size(&self) -> usize {
        let sizes = self.datagrams.iter();
        sizes.map(|one| one.bytes.len() + KEPT_SHARE).sum()
    }
}

/// Where the kernel's socket comes from.
#[derive(Debug)]
pub(crate) enum PortOwner {
    /// The configuration; control knows it too.
    Listener(Arc<DatagramListener>),
    /// A dial of a handler.
    Dialled(OwnSocket),
}

impl Deref for Port {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        match &self.owner {
            PortOwner::Listener(listener) => &listener.socket,
            PortOwner::Dialled(socket) => socket,
        }
    }
}

impl Port {
    /// Served by nobody yet.
    pub(crate) fn new(owner: PortOwner) -> Rc<Self> {
        Rc::new(Self {
            owner,
            serving: Cell::new(Id::NONE),
            superseded: RefCell::default(),
            truncated: Cell::new(0),
            kept: RefCell::default(),
            kept_bytes: Cell::new(0),
        })
    }

    /// The socket of the configuration, unless a handler dialled it.
    pub(crate) fn listener(&self) -> Option<&Arc<DatagramListener>> {
        match &self.owner {
            PortOwner::Listener(listener) => Some(listener),
            PortOwner::Dialled(_) => None,
        }
    }

    /// The socket that serves new peers.
    pub(crate) fn serving(&self) -> Id {
        self.serving.get()
    }

    /// Lets the first socket serve.
    pub(crate) fn open(&self, socket: Id) {
        self.serving.set(socket);
    }

    pub(crate) fn has_superseded(&self) -> bool {
        !self.superseded.borrow().is_empty()
    }

    /// The sockets that were superseded, oldest first.
    pub(crate) fn superseded(&self) -> Vec<Id> {
        self.superseded.borrow().clone()
    }

    /// The first answer that a superseded socket gives, oldest first.
    pub(crate) fn find_superseded<T>(&self, find: impl FnMut(&Id) -> Option<T>) -> Option<T> {
        self.superseded.borrow().iter().find_map(find)
    }

    /// Lets another socket serve; the one before is superseded.
    pub(crate) fn supersede(&self, socket: Id) {
        let before = self.serving.replace(socket);
        self.superseded.borrow_mut().push(before);
    }

    /// A superseded socket has ended, or serves again.
    pub(crate) fn forget(&self, socket: Id) {
        self.superseded.borrow_mut().retain(|one| *one != socket);
    }

    /// Keeps datagrams for a flow.
    pub(crate) fn keep(&self, kept: Kept) {
        self.kept_bytes.set(self.kept_bytes.get() + kept.size());
        self.kept.borrow_mut().push(kept);
    }

    /// Is so much kept that reading has to stop?
    pub(crate) fn has_much_kept(&self) -> bool {
        self.kept_bytes.get() > KEPT_MAX
    }

    /// Is something kept for this flow?
    pub(crate) fn has_kept(&self, flow: Id) -> bool {
        self.kept.borrow().iter().any(|one| one.flow == flow)
    }

    /// Takes out what is kept for a flow.
    pub(crate) fn take_kept(&self, flow: Id) -> Vec<Kept> {
        let mut kept = self.kept.borrow_mut();
        let taken: Vec<Kept> = kept.extract_if(.., |one| one.flow == flow).collect();
        let freed: usize = taken.iter().map(Kept::size).sum();
        self.kept_bytes.set(self.kept_bytes.get() - freed);
        taken
    }
}
