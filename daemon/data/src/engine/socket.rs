//! A datagram socket as a handler sees it, a face of the kernel's: its life, and the callbacks about itself.

use std::cell::{Cell, Ref, RefCell};
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polyport_host::callbacks::{Info, Notice};
use polyport_host::datagram::SocketInfo;
use polyport_host::id::{Id, Kind};
use polyport_host::status::{CallbackError, HostError};
use polyport_host::stream::{Address, DialOrigin, PluginState};
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::epoll::{Event, Interest};

use super::Engine;
use super::dial::{Later, failure};
use super::face::{Ground, Held};
use super::flow::Flows;
use super::listening::address;
use super::table::Entity;
use super::timers::Timers;
use crate::accept::{DatagramListener, Origin, OwnSocket};
use crate::admit::Permit;
use crate::service::Service;
use crate::shut::Reason;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) id: Id,
    /// Flows and what they dial are of the family of their socket.
    pub(super) family: Id,
    /// The kernel's, which it may share with faces of other code.
    pub(super) socket: Rc<Ground>,
    pub(super) local: PeerAddress,
    pub(super) remote: Option<PeerAddress>,
    service: RefCell<Arc<Service>>,
    pub(super) listener: Arc<str>,
    pub(super) dialled: Option<DialOrigin>,
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
    /// Until when it is to take leave once it is released, if it is held; 0: it is not asked to.
    pub(super) drain_wanted: Cell<u64>,
    /// Since when another face serves, nanoseconds of the monotonic clock; 0: none does.
    pub(super) replaced: Cell<u64>,
}

impl Socket {
    /// Who answers it. A borrow may be held while the handler is called: it changes only between two callbacks.
    #[inline]
    pub(super) fn service(&self) -> Ref<'_, Arc<Service>> {
        self.service.borrow()
    }

    pub(super) fn set_service(&self, service: &Arc<Service>) {
        self.service.replace(Arc::clone(service));
    }

    /// Is it who is shown what comes to the kernel's socket?
    pub(super) fn is_serving(&self) -> bool {
        self.socket.is_served_by(self.id)
    }

    /// How long it may take leave.
    pub(super) fn grace(&self) -> Duration {
        self.service().grace
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_until.get() != 0
    }

    /// May its handler be called about it?
    pub(super) fn hears(&self) -> bool {
        !self.ended.get() && !self.silent.get()
    }
}

pub(super) struct Parts {
    pub(super) service: Arc<Service>,
    pub(super) socket: Rc<Ground>,
    pub(super) listener: Arc<str>,
    pub(super) remote: Option<PeerAddress>,
    pub(super) family: Option<Id>,
    pub(super) dialled: Option<DialOrigin>,
    pub(super) permit: Option<Permit>,
}

impl Engine {
    /// Serves a listener's socket.
    pub(super) fn open_ground(&self, listener: &Arc<DatagramListener>, service: &Arc<Service>) {
        let parts = Parts {
            service: Arc::clone(service),
            socket: Ground::new(Held::Listener(Arc::clone(listener))),
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
        dialled: DialOrigin,
        opened: (PeerAddress, std::io::Result<DatagramSocket>, Permit),
    ) -> Result<(), HostError> {
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
            socket: Ground::new(Held::Dialled(OwnSocket::new(socket, Origin::Bound))),
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

    fn enter_socket(&self, parts: Parts) -> Result<Rc<Socket>, HostError> {
        let socket = self.enter_face(parts)?;
        let (fd, token) = (socket.socket.as_fd(), socket.id.raw());
        if self.epoll.add(fd, token, Interest::DATAGRAM).is_err() {
            self.leave_table(&socket);
            return Err(HostError::Full);
        }
        socket.socket.open(socket.id);
        Ok(socket)
    }

    /// A face that no handler knows yet, and that is not watched.
    pub(super) fn enter_face(&self, parts: Parts) -> Result<Rc<Socket>, HostError> {
        let id = self.ids.add(Kind::Socket, parts.service.instance.index())?;
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
            drain_wanted: Cell::new(0),
            replaced: Cell::new(0),
        });
        self.table.put(Entity::Socket(Rc::clone(&socket)));
        self.count_live();
        Ok(socket)
    }

    pub(super) fn open_dialled_socket(&self, id: Id) {
        if let Some(Entity::Socket(socket)) = self.table.get(id) {
            self.tell_open(&socket);
        }
    }

    /// Shows the socket to its handler.
    pub(super) fn call_open(&self, socket: &Socket) -> Result<(), CallbackError> {
        let service = socket.service();
        let info = Info::Socket(SocketInfo {
            local: address(&socket.local),
            remote: socket.remote.as_ref().map_or(Address::None, address),
            dialled: socket.dialled,
            service: &service.name,
            listener: &socket.listener,
        });
        let opened = service.instance.open(socket.id, &info);
        let state = opened.inspect_err(|error| {
            tracing::error!(
                address = %socket.listener,
                service = service.name,
                plugin = service.instance.name().plugin,
                reason = %error,
                "the handler refuses the socket"
            );
        })?;
        socket.state.set(state);
        socket.ended.set(false);
        socket.silent.set(false);
        Ok(())
    }

    fn tell_open(&self, socket: &Rc<Socket>) {
        let said = self.call_open(socket);
        self.after_callback();
        match self.phase.get() {
            _ if said.is_err() => {
                self.close_earlier(socket, Reason::Drain);
                self.release_socket(socket);
            }
            None => {
                self.receive(socket);
                if socket.dialled.is_some() {
                    self.place_socket_again(socket);
                }
            }
            Some(phase) => self.opened_late(socket, phase),
        }
    }

    pub(super) fn socket_event(&self, socket: &Rc<Socket>, event: Event) {
        if event.writable {
            self.ground_writable(socket);
        }
        if event.readable || event.error {
            self.receive(socket);
        }
    }

    /// The kernel's socket has room: each of its faces may wait for it.
    fn ground_writable(&self, serving: &Rc<Socket>) {
        if serving.socket.has_earlier() {
            for face in self.earlier_faces(&serving.socket) {
                if !self.aside_again(face.id) {
                    self.socket_writable(&face);
                }
            }
        }
        self.socket_writable(serving);
    }

    pub(super) fn socket_writable(&self, socket: &Rc<Socket>) {
        if !socket.hears() || !socket.writable_owed.replace(false) {
            return;
        }
        let said =
            socket
                .service()
                .instance
                .notify(socket.id, socket.state.get(), Notice::Writable);
        self.socket_told(socket, "on_writable", said);
    }

    pub(super) fn tell_send_error(&self, id: Id, to: &PeerAddress, errno: i32) {
        if let Some(Entity::Socket(socket)) = self.table.get(id)
            && socket.hears()
        {
            let service = socket.service();
            let instance = &service.instance;
            let said = instance.send_error(id, socket.state.get(), address(to), errno);
            self.socket_told(&socket, "on_send_error", said);
        }
    }

    pub(super) fn socket_woken(&self, socket: &Rc<Socket>, bits: u64) {
        if socket.hears() {
            let said =
                socket
                    .service()
                    .instance
                    .notify(socket.id, socket.state.get(), Notice::Wake(bits));
            self.socket_told(socket, "on_wake", said);
        }
    }

    pub(super) fn socket_timer(&self, socket: &Rc<Socket>, key: u32) {
        let wanted = socket
            .timers
            .borrow_mut()
            .fired(&self.timers, socket.id, key);
        if wanted && socket.hears() {
            let said =
                socket
                    .service()
                    .instance
                    .notify(socket.id, socket.state.get(), Notice::Timer(key));
            self.socket_told(socket, "on_timer", said);
        }
    }

    /// A callback about the socket has returned: a fault is told, and the socket goes on, but after a panic only with
    /// a new state.
    pub(super) fn socket_told(
        &self,
        socket: &Rc<Socket>,
        callback: &str,
        said: Result<(), CallbackError>,
    ) {
        if let Err(error) = said {
            tell_fault(&socket.service(), socket.id, callback, error);
            if error.0 == polyport_abi::PP_E_PANIC && !socket.silent.replace(true) {
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
        if socket.dialled.is_some() || socket.is_draining() || !socket.is_serving() {
            return self.close_socket(socket, Reason::PluginFault);
        }
        self.end_callbacks(socket, Reason::PluginFault);
        self.tell_open(socket);
    }

    /// Ends a socket and its flows.
    pub(super) fn close_socket(&self, socket: &Rc<Socket>, reason: Reason) {
        if socket.ended.get() {
            return;
        }
        if socket.is_serving() {
            self.close_earlier(socket, reason);
        }
        self.end_callbacks(socket, reason);
        self.release_socket(socket);
    }

    /// The kernel's socket closes: nothing will come to its earlier faces any more.
    fn close_earlier(&self, serving: &Socket, reason: Reason) {
        for face in self.earlier_faces(&serving.socket) {
            self.close_socket(&face, reason);
        }
    }

    /// Ends a socket of a frozen instance, which is told if it knows of it.
    pub(super) fn end_frozen_socket(&self, socket: &Rc<Socket>) {
        if socket.ended.get() {
            self.release_socket(socket);
        } else {
            self.close_socket(socket, Reason::Drain);
        }
    }

    /// Tells the handler that the flows and the socket have ended.
    fn end_callbacks(&self, socket: &Rc<Socket>, reason: Reason) {
        socket.ended.set(true);
        socket.timers.borrow_mut().clear(&self.timers);
        let flows = socket.flows.borrow().ids();
        for flow in flows {
            if let Some(Entity::Flow(flow)) = self.table.get(flow) {
                self.close_flow(&flow, reason);
            }
        }
        let service = socket.service();
        let instance = &service.instance;
        if let Err(error) =
            instance.notify(socket.id, socket.state.get(), Notice::Closed(reason.code()))
        {
            tell_fault(&socket.service(), socket.id, "socket_closed", error);
        }
        self.after_callback();
    }

    /// Nothing knows the face any more.
    pub(super) fn leave_table(&self, socket: &Socket) {
        socket.ended.set(true);
        socket.timers.borrow_mut().clear(&self.timers);
        self.ids.remove(socket.id);
        self.table.remove(socket.id);
        self.count_live();
    }

    fn release_socket(&self, socket: &Rc<Socket>) {
        self.leave_table(socket);
        if let Some(permit) = socket.permit.take() {
            self.give_back(permit);
        }
        if socket.family != socket.id {
            self.relative_gone(socket.family);
        }
        let ground = &socket.socket;
        if !socket.is_serving() {
            ground.forget(socket.id);
            if let Some(serving) = self.serving_face(ground) {
                self.drained(&serving);
            }
            return;
        }
        drop(self.epoll.remove(ground.as_fd()));
        let Some(listener) = ground.listener() else {
            return;
        };
        listener.socket.remove_file();
        tracing::info!(
            service = socket.service().name,
            address = %socket.listener,
            truncated = ground.truncated.get(),
            dropped_by_kernel = listener.dropped_by_kernel.load(Ordering::Relaxed),
            "listener closed"
        );
    }
}

/// Names a callback about a socket, or one of its flows, that failed.
pub(super) fn tell_fault(service: &Service, about: Id, callback: &str, error: CallbackError) {
    let name = service.instance.name();
    tracing::warn!(
        plugin = name.plugin,
        instance = name.instance,
        generation = name.generation,
        callback,
        %about,
        reason = %error,
        "callback failed"
    );
}
