//! Who answers on a datagram socket of the kernel. That is one face, the newest. When a reload brings other code, a
//! new face opens, and what comes is its own from then on, but for the flows that stay with the code they began
//! with: they keep the earlier face alive, and their datagrams go to them as before.

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::datagram::Batch;
use polyport_host::id::Id;
use polyport_host::status::HostError;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::epoll::Interest;

use super::Engine;
use super::flow::Flow;
use super::receive::Sender;
use super::socket::{Parts, Socket};
use super::table::Entity;
use crate::accept::{DatagramListener, OwnSocket};
use crate::service::Service;
use crate::shut::Reason;
use crate::snapshot::Snapshot;
use crate::worker::Due;

/// A datagram socket of the kernel, and its faces.
#[derive(Debug)]
pub(super) struct Ground {
    held: Held,
    /// Who is shown what comes.
    serving: Cell<Id>,
    /// Those that were replaced and have not ended, oldest first.
    earlier: RefCell<Vec<Id>>,
    /// How many datagrams were cut.
    pub(super) truncated: Cell<u64>,
}

/// Whose the kernel's socket is.
#[derive(Debug)]
pub(super) enum Held {
    /// Of the configuration; control knows it too.
    Listener(Arc<DatagramListener>),
    /// A handler's own.
    Dialled(OwnSocket),
}

impl Deref for Ground {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        match &self.held {
            Held::Listener(listener) => &listener.socket,
            Held::Dialled(socket) => socket,
        }
    }
}

impl Ground {
    pub(super) fn new(held: Held) -> Rc<Self> {
        Rc::new(Self {
            held,
            serving: Cell::new(Id::NONE),
            earlier: RefCell::default(),
            truncated: Cell::new(0),
        })
    }

    /// The socket of the configuration that it is, if it is none of a handler's own.
    pub(super) fn listener(&self) -> Option<&Arc<DatagramListener>> {
        match &self.held {
            Held::Listener(listener) => Some(listener),
            Held::Dialled(_) => None,
        }
    }

    /// Its first face.
    pub(super) fn open(&self, face: Id) {
        self.serving.set(face);
    }

    pub(super) fn is_served_by(&self, face: Id) -> bool {
        self.serving.get() == face
    }

    pub(super) fn has_earlier(&self) -> bool {
        !self.earlier.borrow().is_empty()
    }

    fn replace(&self, face: Id) {
        let before = self.serving.replace(face);
        self.earlier.borrow_mut().push(before);
    }

    pub(super) fn forget(&self, face: Id) {
        self.earlier.borrow_mut().retain(|one| *one != face);
    }
}

impl Engine {
    /// The datagram side of a snapshot: listeners' sockets of this worker, and those that handlers dialled.
    pub(super) fn swap_sockets(&self, snapshot: &Snapshot) {
        let mut open = Vec::new();
        for entity in self.table.all() {
            let Entity::Socket(socket) = entity else {
                continue;
            };
            match socket.socket.listener() {
                Some(listener) if socket.is_serving() => {
                    let mut wanted = snapshot.sockets.iter();
                    match wanted.find(|(one, _)| Arc::ptr_eq(one, listener)) {
                        Some((_, service)) => self.serve_by(&socket, service),
                        None => self.remove_ground(&socket),
                    }
                    open.push(Arc::clone(listener));
                }
                Some(_) => {}
                None => self.swap_dialled(&socket, &snapshot.services),
            }
        }
        for (listener, service) in &snapshot.sockets {
            let is_open = open.iter().any(|one| Arc::ptr_eq(one, listener));
            if listener.worker == self.number && !is_open {
                self.open_ground(listener, service);
            }
        }
        self.leave_sockets(snapshot);
    }

    /// From now on this is who answers.
    fn serve_by(&self, face: &Rc<Socket>, service: &Arc<Service>) {
        let same = Arc::ptr_eq(&face.service(), service);
        if face.is_draining() {
            // It was removed a moment ago.
            self.replace_face(face, service);
        } else if face.service().instance.index() == service.instance.index() {
            if !same {
                self.renew_service(face, service);
            }
        } else {
            self.replace_face(face, service);
        }
    }

    /// Other timeouts and names, the same code.
    fn renew_service(&self, socket: &Rc<Socket>, service: &Arc<Service>) {
        socket.set_service(service);
        for id in socket.flows.borrow().ids() {
            if let Some(Entity::Flow(flow)) = self.table.get(id) {
                flow.set_service(service);
                self.arm_flow(&flow);
            }
        }
    }

    /// A dialled socket stays with its instance, and ends with its service.
    fn swap_dialled(&self, socket: &Rc<Socket>, services: &[Arc<Service>]) {
        let name = socket.service().name.clone();
        if name.is_empty() {
            // Dialled by an instance, which is no service.
            return;
        }
        let Some(service) = services.iter().find(|service| service.name == name) else {
            return self.drain_socket(socket, self.grace_of(socket));
        };
        let same = socket.service().instance.index() == service.instance.index();
        if same && !Arc::ptr_eq(&socket.service(), service) {
            self.renew_service(socket, service);
        }
    }

    /// A listener that is gone: what has arrived is answered, and then all its faces take leave.
    fn remove_ground(&self, serving: &Rc<Socket>) {
        // The one that receives comes first.
        self.drain_socket(serving, self.grace_of(serving));
        for face in self.earlier_faces(&serving.socket) {
            self.drain_socket(&face, self.grace_of(&face));
        }
    }

    /// Ends what belongs to instances whose time is over, and what stayed with a service that is gone.
    fn leave_sockets(&self, snapshot: &Snapshot) {
        for entity in self.table.all() {
            if let Entity::Socket(socket) = entity {
                self.leave_socket(&socket, snapshot);
            }
        }
    }

    fn leave_socket(&self, socket: &Rc<Socket>, snapshot: &Snapshot) {
        if self.is_frozen(&socket.service().instance) {
            return self.end_frozen_socket(socket);
        }
        let mut services = snapshot.services.iter();
        if socket.replaced.get() != 0
            && !services.any(|service| service.name == socket.service().name)
        {
            self.drain_socket(socket, self.grace_of(socket));
        }
        let index = socket.service().instance.index();
        let mut leaving = snapshot.leaving.iter();
        if let Some(until) = leaving
            .find(|one| one.instance == index)
            .and_then(|one| one.until)
        {
            self.drain_socket(socket, self.nanos_of(until));
        }
    }

    /// A dialled socket has opened after the snapshot, of a service or instance that may be gone.
    pub(super) fn place_socket_again(&self, socket: &Rc<Socket>) {
        let snapshot = self.snapshot.borrow().clone();
        if let Some(snapshot) = snapshot {
            self.swap_dialled(socket, &snapshot.services);
            self.leave_socket(socket, &snapshot);
        }
    }

    /// Lets a face of another instance serve, and flows move to it that can.
    fn replace_face(&self, before: &Rc<Socket>, service: &Arc<Service>) {
        let frozen = before.service().instance.is_exclusive();
        let opened = match self.earlier_of(before, service) {
            Some(face) => {
                self.renew_service(&face, service);
                face.replaced.set(0);
                face.socket.forget(face.id);
                Ok(face)
            }
            None => self.open_face(before, service),
        };
        let Ok(face) = opened.and_then(|face| self.watch_face(face)) else {
            tracing::error!(
                address = %before.listener,
                service = service.name,
                stays = !frozen,
                "the new code does not take the socket"
            );
            if frozen {
                self.close_socket(before, Reason::Drain);
            }
            return;
        };
        before.replaced.set(self.clock.now().max(1));
        self.move_flows(before, &face);
        if frozen {
            // Its state may live in one place only.
            self.close_socket(before, Reason::Drain);
        } else {
            self.timers.add(Due::Parting(before.id), before.grace());
            self.part(before);
        }
        self.receive(&face);
    }

    /// An earlier face of the service's instance, which comes back when a reload is undone.
    fn earlier_of(&self, serving: &Socket, service: &Service) -> Option<Rc<Socket>> {
        let index = service.instance.index();
        let mut faces = self.earlier_faces(&serving.socket).into_iter();
        faces.find(|face| {
            face.hears() && !face.is_draining() && face.service().instance.index() == index
        })
    }

    /// A face that its handler has taken, and that nothing comes to yet.
    fn open_face(&self, before: &Socket, service: &Arc<Service>) -> Result<Rc<Socket>, HostError> {
        let face = self.enter_face(Parts {
            service: Arc::clone(service),
            socket: Rc::clone(&before.socket),
            listener: Arc::clone(&before.listener),
            remote: None,
            family: None,
            dialled: None,
            permit: None,
        })?;
        let said = self.call_open(&face);
        self.after_callback();
        if said.is_err() {
            self.leave_table(&face);
            return Err(HostError::Denied);
        }
        Ok(face)
    }

    /// Lets what comes go to a face.
    fn watch_face(&self, face: Rc<Socket>) -> Result<Rc<Socket>, HostError> {
        let (fd, token) = (face.socket.as_fd(), face.id.raw());
        if self.epoll.modify(fd, token, Interest::DATAGRAM).is_err() {
            self.close_socket(&face, Reason::Host);
            return Err(HostError::Full);
        }
        face.socket.replace(face.id);
        Ok(face)
    }

    /// A face that was replaced goes when nothing holds it any more: flows hold it for as long as they live, and what
    /// it dialled for its grace, so that questions on their way come back to who asked.
    pub(super) fn part(&self, face: &Rc<Socket>) {
        let since = face.replaced.get();
        if since == 0 || face.is_draining() || face.ended.get() || !face.flows.borrow().is_empty() {
            return;
        }
        if self.aside_due(Due::Parting(face.id)) {
            return;
        }
        let waited = Duration::from_nanos(self.clock.now().saturating_sub(since));
        if waited < face.grace() && self.has_relatives(face) {
            return;
        }
        self.drain_socket(face, self.grace_of(face));
    }

    /// One of a family has gone; the eldest may have waited for it.
    pub(super) fn relative_gone(&self, family: Id) {
        if let Some(Entity::Socket(face)) = self.table.get(family) {
            self.part(&face);
        }
    }

    fn has_relatives(&self, face: &Socket) -> bool {
        self.table.all().iter().any(|entity| match entity {
            Entity::Stream(stream) => stream.family == face.family,
            Entity::Socket(socket) => socket.family == face.family && socket.id != face.id,
            Entity::Flow(_) => false,
        })
    }

    /// Until when a socket may take leave if it begins now.
    fn grace_of(&self, socket: &Socket) -> u64 {
        let grace = u64::try_from(socket.grace().as_nanos()).unwrap_or(u64::MAX);
        self.clock.now().saturating_add(grace)
    }

    pub(super) fn earlier_faces(&self, ground: &Ground) -> Vec<Rc<Socket>> {
        let faces = ground.earlier.borrow();
        faces
            .iter()
            .filter_map(|id| match self.table.get(*id) {
                Some(Entity::Socket(face)) => Some(face),
                _ => None,
            })
            .collect()
    }

    /// The face that is shown what comes.
    pub(super) fn serving_face(&self, ground: &Ground) -> Option<Rc<Socket>> {
        match self.table.get(ground.serving.get()) {
            Some(Entity::Socket(face)) => Some(face),
            _ => None,
        }
    }

    /// Shows a batch while earlier faces live: first of all each run of a peer is that of its flow, whose ever it is.
    pub(super) fn show_to_faces(&self, serving: &Rc<Socket>, batch: Batch<'_>) {
        for (peer, run) in batch.runs() {
            let Some(sender) = self.sender(peer) else {
                return;
            };
            if let Some(flow) = self.earlier_flow(&serving.socket, &sender) {
                self.show_to_flow(&flow, run);
            } else if serving.hears() {
                self.show_run(serving, sender, run);
            }
        }
    }

    fn show_run(&self, serving: &Rc<Socket>, sender: Sender, run: Batch<'_>) {
        let service = serving.service();
        if service.instance.flows().is_none() {
            let said = service
                .instance
                .datagrams(serving.id, serving.state.get(), run);
            self.socket_told(serving, "on_datagrams", said);
        } else if let Some(flow) = self.flow_of(serving, sender) {
            self.show_to_flow(&flow, run);
        }
    }

    /// The flow of a peer that an earlier face has.
    fn earlier_flow(&self, ground: &Ground, sender: &Sender) -> Option<Rc<Flow>> {
        ground.earlier.borrow().iter().find_map(|id| {
            let Some(Entity::Socket(face)) = self.table.get(*id) else {
                return None;
            };
            let known = face.flows.borrow().of(sender)?;
            match self.table.get(known) {
                Some(Entity::Flow(flow)) => Some(flow),
                _ => None,
            }
        })
    }
}
