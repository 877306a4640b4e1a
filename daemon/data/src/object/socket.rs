//! A datagram socket as one instance sees it: a binding of a port.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use polyport_host::datagram::SocketInfo;
use polyport_host::stream::Address;
use polyport_sys::PeerAddress;

use super::{Flag, Flows, Object, Port, address};
use crate::reason::Reason;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) object: Object,
    /// The kernel's socket, which bindings of other instances may share.
    pub(crate) port: Rc<Port>,
    pub(crate) local: PeerAddress,
    /// Of a dialled socket.
    pub(crate) remote: Option<PeerAddress>,
    pub(crate) flows: RefCell<Flows>,
    /// Since when another binding serves the port, nanoseconds; 0: none does.
    pub(crate) superseded_since: Cell<u64>,
    /// It ends for this reason once its flows, and the superseded sockets of its port, have ended.
    pub(crate) closing: Cell<Option<Reason>>,
    /// It is opened anew once its flows have ended: a callback has panicked.
    pub(crate) renewing: Cell<bool>,
}

impl Socket {
    /// A socket that no handler knows yet: it counts as ended until `socket_open` has returned.
    pub(crate) fn new(object: Object, port: Rc<Port>, remote: Option<PeerAddress>) -> Self {
        object.set(Flag::ENDED);
        let local = port.local_address().unwrap_or(PeerAddress::Unix(None));
        Self {
            object,
            port,
            local,
            remote,
            flows: RefCell::default(),
            superseded_since: Cell::new(0),
            closing: Cell::new(None),
            renewing: Cell::new(false),
        }
    }

    /// The argument of `socket_open`.
    pub(crate) fn info<'a>(&'a self, service: &'a str) -> SocketInfo<'a> {
        SocketInfo {
            local: address(&self.local),
            remote: self.remote.as_ref().map_or(Address::None, address),
            dialled: self.object.dialled.as_deref().copied(),
            service,
            listener: &self.object.listener,
        }
    }

    /// Does its handler get the datagrams of new peers?
    pub(crate) fn is_serving(&self) -> bool {
        self.port.serving() == self.object.id
    }

    /// How long its drain may take.
    pub(crate) fn grace(&self) -> Duration {
        self.object.service().grace
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.object.drain_until.get() != 0
    }
}
