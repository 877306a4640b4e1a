//! A datagram socket: its life, and the callbacks about the socket itself.

use std::cell::{Cell, Ref, RefCell};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_host::datagram::SocketInfo;
use polyport_host::id::{Id, Kind};
use polyport_host::status::{Misstep, Refuse};
use polyport_host::stream::{Address, Dialled, PluginState};
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::epoll::{Event, Interest};

use super::Engine;
use super::dial::{Later, failure};
use super::flow::Flows;
use super::listening::address;
use super::table::Entity;
use super::timers::Timers;
use crate::data::accept::{DatagramListener, Origin, OwnSocket};
use crate::data::admit::Permit;
use crate::data::service::Service;
use crate::data::shut::Reason;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) id: Id,
    /// Flows and what they dial are of the family of their socket.
    pub(super) family: Id,
    pub(super) socket: Held,
    pub(super) local: PeerAddress,
    pub(super) remote: Option<PeerAddress>,
    service: RefCell<Arc<Service>>,
    pub(super) listener: Arc<str>,
    pub(super) dialled: Option<Dialled>,
    pub(super) state: Cell<PluginState>,
    pub(super) timers: RefCell<Timers>,
    pub(super) flows: RefCell<Flows>,
    pub(super) permit: RefCell<Option<Permit>>,
    /// A send was cut short: the handler waits for `on_writable`.
    pub(super) writable_owed: Cell<bool>,
    /// Until when it may take leave, nanoseconds of the monotonic clock; 0: it stays.
    pub(super) drain_until: Cell<u64>,
    /// `socket_closed` was called, or `socket_open` has not been.
    pub(super) ended: Cell<bool>,
    /// A callback panicked, or the handler closed it: nothing is called until that is dealt with.
    pub(super) silent: Cell<bool>,
    /// It is in the list of what the next turn goes on with.
    pub(super) again: Cell<bool>,
    /// How many datagrams were cut.
    pub(super) truncated: Cell<u64>,
}

/// The kernel's socket.
#[derive(Debug)]
pub(super) enum Held {
    /// Of the configuration; control knows it too.
    Listener(Arc<DatagramListener>),
    /// A handler's own.
    Dialled(OwnSocket),
}

impl Deref for Held {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        match self {
            Self::Listener(listener) => &listener.socket,
            Self::Dialled(socket) => socket,
        }
    }
}

impl Socket {
    /// Who answers it. A borrow may be held while the handler is called: it changes only between two callbacks.
    #[inline]
    pub(super) fn service(&self) -> Ref<'_, Arc<Service>> {
        self.service.borrow()
    }

    /// The socket of the configuration that it is, if it is none of a handler's own.
    pub(super) fn of_listener(&self) -> Option<&Arc<DatagramListener>> {
        match &self.socket {
            Held::Listener(listener) => Some(listener),
            Held::Dialled(_) => None,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_until.get() != 0
    }

    /// May its handler be called about it?
    pub(super) fn hears(&self) -> bool {
        !self.ended.get() && !self.silent.get()
    }
}

struct Parts {
    service: Arc<Service>,
    socket: Held,
    listener: Arc<str>,
    remote: Option<PeerAddress>,
    family: Option<Id>,
    dialled: Option<Dialled>,
    permit: Option<Permit>,
}

impl Engine {
    /// Serves the datagram sockets of this worker that the snapshot names and that are not open yet.
    pub(super) fn swap_sockets(&self, wanted: &[(Arc<DatagramListener>, Arc<Service>)]) {
        let all = self.table.all();
        for (listener, service) in wanted {
            let open = all.iter().any(|entity| match entity {
                Entity::Socket(socket) => socket
                    .of_listener()
                    .is_some_and(|one| Arc::ptr_eq(one, listener)),
                Entity::Stream(_) | Entity::Flow(_) => false,
            });
            if listener.worker == self.number && !open {
                self.open_socket(listener, service);
            }
        }
    }

    fn open_socket(&self, listener: &Arc<DatagramListener>, service: &Arc<Service>) {
        let parts = Parts {
            service: Arc::clone(service),
            socket: Held::Listener(Arc::clone(listener)),
            listener: Arc::from(listener.address.as_str()),
            remote: None,
            family: None,
            dialled: None,
            permit: None,
        };
        match self.enter_socket(parts) {
            Ok(socket) => self.tell_open(&socket),
            Err(_) => tracing::error!(
                address = listener.address,
                "the socket cannot be served: no room in the worker's table"
            ),
        }
    }

    pub(super) fn dialled_socket(
        &self,
        service: Arc<Service>,
        family: Option<Id>,
        dialled: Dialled,
        opened: (PeerAddress, std::io::Result<DatagramSocket>, Permit),
    ) -> Result<(), Refuse> {
        let (remote, socket, permit) = opened;
        let socket = match socket {
            Ok(socket) => socket,
            Err(error) => {
                self.give_back(permit);
                self.later(Later::DialFailed(service, dialled, failure(&error)));
                return Ok(());
            }
        };
        let parts = Parts {
            service,
            socket: Held::Dialled(OwnSocket::new(socket, Origin::Bound)),
            listener: Arc::from(""),
            remote: Some(remote),
            family,
            dialled: Some(dialled),
            permit: Some(permit),
        };
        let socket = self.enter_socket(parts)?;
        self.later(Later::OpenSocket(socket.id));
        Ok(())
    }

    fn enter_socket(&self, parts: Parts) -> Result<Rc<Socket>, Refuse> {
        let id = self
            .directory
            .add(Kind::Socket, parts.service.instance.index())?;
        let local = parts
            .socket
            .local_address()
            .unwrap_or(PeerAddress::Unix(None));
        let socket = Rc::new(Socket {
            id,
            family: parts.family.unwrap_or(id),
            socket: parts.socket,
            local,
            remote: parts.remote,
            service: RefCell::new(parts.service),
            listener: parts.listener,
            dialled: parts.dialled,
            state: Cell::new(PluginState::NONE),
            timers: RefCell::default(),
            flows: RefCell::default(),
            permit: RefCell::new(parts.permit),
            writable_owed: Cell::new(false),
            drain_until: Cell::new(0),
            ended: Cell::new(true),
            silent: Cell::new(false),
            again: Cell::new(false),
            truncated: Cell::new(0),
        });
        if self
            .epoll
            .add(socket.socket.as_fd(), id.raw(), Interest::DATAGRAM)
            .is_err()
        {
            self.directory.remove(id);
            return Err(Refuse::Full);
        }
        self.table.put(Entity::Socket(Rc::clone(&socket)));
        self.count_live();
        Ok(socket)
    }

    pub(super) fn open_dialled_socket(&self, id: Id) {
        if let Some(Entity::Socket(socket)) = self.table.get(id) {
            self.tell_open(&socket);
        }
    }

    fn tell_open(&self, socket: &Rc<Socket>) {
        let info = SocketInfo {
            local: address(&socket.local),
            remote: socket.remote.as_ref().map_or(Address::None, address),
            dialled: socket.dialled,
            service: &socket.service().name,
            listener: &socket.listener,
        };
        match socket.service().instance.socket_open(socket.id, &info) {
            Ok(state) => {
                socket.state.set(state);
                socket.ended.set(false);
                socket.silent.set(false);
                self.after_callback();
                match self.phase.get() {
                    None => self.receive(socket),
                    Some(phase) => self.opened_late(socket, phase),
                }
            }
            Err(misstep) => {
                tracing::error!(
                    address = %socket.listener,
                    service = socket.service().name,
                    plugin = socket.service().instance.name().plugin,
                    reason = %misstep,
                    "the handler refuses the socket"
                );
                self.after_callback();
                self.release_socket(socket);
            }
        }
    }

    pub(super) fn socket_event(&self, socket: &Rc<Socket>, event: Event) {
        if !socket.hears() {
            return;
        }
        if event.writable && socket.writable_owed.get() {
            self.socket_writable(socket);
        }
        if event.readable || event.error {
            self.receive(socket);
        }
    }

    pub(super) fn socket_writable(&self, socket: &Rc<Socket>) {
        if !socket.hears() || !socket.writable_owed.replace(false) {
            return;
        }
        let said = socket
            .service()
            .instance
            .socket_writable(socket.state.get(), socket.id);
        self.socket_told(socket, "on_writable", said);
    }

    pub(super) fn tell_send_error(&self, id: Id, to: &PeerAddress, errno: i32) {
        if let Some(Entity::Socket(socket)) = self.table.get(id)
            && socket.hears()
        {
            let service = socket.service();
            let instance = &service.instance;
            let said = instance.socket_send_error(socket.state.get(), id, address(to), errno);
            self.socket_told(&socket, "on_send_error", said);
        }
    }

    pub(super) fn socket_woken(&self, socket: &Rc<Socket>, bits: u64) {
        if socket.hears() {
            let said = socket
                .service()
                .instance
                .datagram_wake(socket.state.get(), socket.id, bits);
            self.socket_told(socket, "on_wake", said);
        }
    }

    pub(super) fn socket_timer(&self, socket: &Rc<Socket>, key: u32) {
        let wanted = socket
            .timers
            .borrow_mut()
            .fired(&self.deadlines, socket.id, key);
        if wanted && socket.hears() {
            let said = socket
                .service()
                .instance
                .datagram_timer(socket.state.get(), socket.id, key);
            self.socket_told(socket, "on_timer", said);
        }
    }

    /// A callback about the socket has returned: a fault is told, and the socket goes on, but after a panic only with
    /// a new state.
    pub(super) fn socket_told(
        &self,
        socket: &Rc<Socket>,
        callback: &str,
        said: Result<(), Misstep>,
    ) {
        if let Err(misstep) = said {
            tell_fault(&socket.service(), socket.id, callback, misstep);
            if misstep.0 == polyport_abi::PP_E_PANIC && !socket.silent.replace(true) {
                self.later(Later::Poisoned(socket.id));
            }
        }
        self.after_callback();
    }

    /// A callback panicked, so the handler's state of the socket is not used again: a dialled socket ends, a
    /// listener's one is shown to the handler anew.
    pub(super) fn renew_socket(&self, socket: &Rc<Socket>) {
        if socket.ended.get() {
            return;
        }
        if socket.dialled.is_some() || socket.is_draining() {
            return self.close_socket(socket, Reason::PluginFault);
        }
        self.end_callbacks(socket, Reason::PluginFault);
        self.tell_open(socket);
    }

    /// Ends a socket and its flows.
    pub(super) fn close_socket(&self, socket: &Rc<Socket>, reason: Reason) {
        if !socket.ended.get() {
            self.end_callbacks(socket, reason);
            self.release_socket(socket);
        }
    }

    /// Tells the handler that the flows and the socket have ended.
    fn end_callbacks(&self, socket: &Rc<Socket>, reason: Reason) {
        socket.ended.set(true);
        socket.timers.borrow_mut().clear(&self.deadlines);
        let flows = socket.flows.borrow().ids();
        for flow in flows {
            if let Some(Entity::Flow(flow)) = self.table.get(flow) {
                self.close_flow(&flow, reason);
            }
        }
        let service = socket.service();
        let instance = &service.instance;
        if let Err(misstep) = instance.socket_closed(socket.state.get(), socket.id, reason.code()) {
            tell_fault(&socket.service(), socket.id, "socket_closed", misstep);
        }
        self.after_callback();
    }

    fn release_socket(&self, socket: &Rc<Socket>) {
        socket.ended.set(true);
        socket.timers.borrow_mut().clear(&self.deadlines);
        drop(self.epoll.remove(socket.socket.as_fd()));
        self.directory.remove(socket.id);
        self.table.remove(socket.id);
        self.count_live();
        if let Some(permit) = socket.permit.take() {
            self.give_back(permit);
        }
        if let Some(listener) = socket.of_listener() {
            if listener.socket.origin() == Origin::Bound
                && let Err(error) = listener.socket.unlink()
            {
                tracing::warn!(address = %socket.listener, %error, "the socket's file could not be removed");
            }
            tracing::info!(
                service = socket.service().name,
                address = %socket.listener,
                truncated = socket.truncated.get(),
                dropped_by_kernel = listener.dropped_by_kernel.load(Ordering::Relaxed),
                "listener closed"
            );
        }
    }
}

/// Names a callback about a socket, or one of its flows, that failed.
pub(super) fn tell_fault(service: &Service, about: Id, callback: &str, misstep: Misstep) {
    let name = service.instance.name();
    tracing::warn!(
        plugin = name.plugin,
        instance = name.instance,
        generation = name.generation,
        callback,
        %about,
        reason = %misstep,
        "callback failed"
    );
}
