//! Flows: the datagrams between one local and one remote address, for handlers that keep state of a peer.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::callbacks::{Info, Notice};
use polyport_host::datagram::{Batch, FlowInfo};
use polyport_host::id::{Id, Kind};
use polyport_host::status::CallbackError;
use polyport_host::stream::{Address, PluginState};
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::LocalAddress;

use super::Engine;
use super::listening::address;
use super::receive::Sender;
use super::socket::{Socket, tell_fault};
use super::table::Entity;
use super::timers::Timers;
use crate::service::Service;
use crate::shut::Reason;
use crate::worker::{Due, TimerKey};

/// Flows of one socket when the handler does not say.
const FLOWS_MAX: usize = 65_536;
/// How many of the oldest are looked at for one that was idle long.
const LOOKS: usize = 64;

/// One flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) id: Id,
    socket: RefCell<Rc<Socket>>,
    service: RefCell<Arc<Service>>,
    pub(super) remote: PeerAddress,
    /// Which of our addresses the peer asked.
    pub(super) asked: Option<LocalAddress>,
    pub(super) state: Cell<PluginState>,
    pub(super) timers: RefCell<Timers>,
    pub(super) ended: Cell<bool>,
    /// The handler closed it: nothing is called until that is done.
    pub(super) silent: Cell<bool>,
    last_io: Cell<u64>,
    pub(super) deadline: Cell<Option<TimerKey>>,
}

/// The flows of one socket.
#[derive(Debug, Default)]
pub(super) struct Flows {
    by_peer: HashMap<Sender, Id>,
    /// In the order of their last look, with the time of last use that was seen then.
    order: VecDeque<(Id, u64)>,
}

impl Flows {
    pub(super) fn ids(&self) -> Vec<Id> {
        self.by_peer.values().copied().collect()
    }

    /// The same, the one that was looked at longest ago first.
    pub(super) fn by_last_look(&self) -> Vec<Id> {
        let live: HashSet<Id> = self.by_peer.values().copied().collect();
        let order = self.order.iter().map(|(id, _)| *id);
        order.filter(|id| live.contains(id)).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_peer.is_empty()
    }

    pub(super) fn of(&self, sender: &Sender) -> Option<Id> {
        self.by_peer.get(sender).copied()
    }

    pub(super) fn put(&mut self, flow: &Flow) {
        self.by_peer
            .insert((flow.remote.clone(), flow.asked), flow.id);
    }

    pub(super) fn remove(&mut self, flow: &Flow) {
        self.by_peer.remove(&(flow.remote.clone(), flow.asked));
    }

    /// Forgets in the order who is gone.
    pub(super) fn sweep(&mut self) {
        let live: HashSet<Id> = self.by_peer.values().copied().collect();
        self.order.retain(|(id, _)| live.contains(id));
    }

    /// A flow was last used then, as far as was looked.
    pub(super) fn looked_at(&mut self, id: Id, used: u64) {
        self.order.push_back((id, used));
    }
}

impl Flow {
    /// Who answers it, which may be another than who answers its socket. A borrow may be held while the handler is
    /// called: it changes only between two callbacks.
    #[inline]
    pub(super) fn service(&self) -> Ref<'_, Arc<Service>> {
        self.service.borrow()
    }

    pub(super) fn set_service(&self, service: &Arc<Service>) {
        self.service.replace(Arc::clone(service));
    }

    /// The face of the socket that it is of; another only between two callbacks.
    #[inline]
    pub(super) fn socket(&self) -> Ref<'_, Rc<Socket>> {
        self.socket.borrow()
    }

    /// Gives it to another face; returns the one before.
    pub(super) fn set_socket(&self, socket: &Rc<Socket>) -> Rc<Socket> {
        self.socket.replace(Rc::clone(socket))
    }

    /// What its handler is told of it.
    pub(super) fn info(&self) -> FlowInfo {
        let socket = self.socket();
        let local = match (&socket.local, self.asked) {
            (PeerAddress::Ip(local), Some(asked)) => {
                Address::Ip(std::net::SocketAddr::new(asked.ip, local.port()))
            }
            (local, _) => address(local),
        };
        FlowInfo {
            socket: socket.id,
            local,
            remote: address(&self.remote),
        }
    }

    /// When something was sent or received last.
    pub(super) fn last_io(&self) -> u64 {
        self.last_io.get()
    }

    /// May its handler be called about it?
    pub(super) fn hears(&self) -> bool {
        !self.ended.get() && !self.silent.get()
    }

    /// Something was sent or received.
    pub(super) fn moved(&self, now: u64) {
        self.last_io.set(now);
    }
}

impl Engine {
    /// Shows each run of datagrams of one peer to its flow.
    pub(super) fn show_to_flows(&self, socket: &Rc<Socket>, batch: Batch<'_>) {
        for (peer, run) in batch.runs() {
            if !socket.hears() {
                return;
            }
            let Some(sender) = self.sender(peer) else {
                return;
            };
            if let Some(flow) = self.flow_of(socket, sender) {
                self.show_to_flow(&flow, run);
            }
        }
    }

    pub(super) fn show_to_flow(&self, flow: &Rc<Flow>, run: Batch<'_>) {
        if flow.hears() {
            flow.moved(self.clock.now());
            let service = flow.service();
            let instance = &service.instance;
            let said = instance.datagrams(flow.id, flow.state.get(), run);
            self.flow_told(flow, "on_datagrams", said);
        }
    }

    /// Does the face take one more that comes from another?
    pub(super) fn takes_flow(&self, socket: &Socket) -> bool {
        let max = most_flows(socket);
        max.is_some_and(|max| socket.flows.borrow().by_peer.len() < max)
    }

    /// The flow of a peer; a new one if there is none yet.
    pub(super) fn flow_of(&self, socket: &Rc<Socket>, sender: Sender) -> Option<Rc<Flow>> {
        let known = socket.flows.borrow().by_peer.get(&sender).copied();
        if let Some(Entity::Flow(flow)) = known.and_then(|id| self.table.get(id)) {
            return Some(flow);
        }
        let max = most_flows(socket)?;
        if socket.flows.borrow().by_peer.len() >= max {
            self.end_oldest(socket);
            if !socket.hears() {
                // It was the last one of a draining socket, which has closed with it.
                return None;
            }
        }
        let id = self
            .ids
            .add(Kind::Flow, socket.service().instance.index())
            .ok()?;
        let flow = Rc::new(Flow {
            id,
            socket: RefCell::new(Rc::clone(socket)),
            service: RefCell::new(Arc::clone(&socket.service())),
            remote: sender.0.clone(),
            asked: sender.1,
            state: Cell::new(PluginState::NONE),
            timers: RefCell::default(),
            ended: Cell::new(false),
            silent: Cell::new(false),
            last_io: Cell::new(self.clock.now()),
            deadline: Cell::new(None),
        });
        self.table.put(Entity::Flow(Rc::clone(&flow)));
        flow.service().began();
        self.count_live();
        {
            let mut flows = socket.flows.borrow_mut();
            flows.by_peer.insert(sender, id);
            flows.looked_at(id, self.clock.now());
        }
        let said = socket.service().instance.open(id, &Info::Flow(flow.info()));
        match said {
            Ok(state) => {
                flow.state.set(state);
                self.arm_flow(&flow);
                self.after_callback();
                if socket.is_draining() {
                    self.drain_flow(&flow, socket.drain_until.get());
                }
                Some(flow)
            }
            Err(error) => {
                tracing::debug!(flow = %id, reason = %error, "the handler refuses the flow");
                flow.ended.set(true);
                self.release_flow(&flow);
                self.after_callback();
                None
            }
        }
    }

    /// Ends the flow that was idle longest, as far as a short look tells.
    fn end_oldest(&self, socket: &Rc<Socket>) {
        for _ in 0..LOOKS {
            let oldest = socket.flows.borrow_mut().order.pop_front();
            let Some((id, seen)) = oldest else { return };
            let Some(flow) = self.flow_at(socket, id) else {
                continue;
            };
            if flow.last_io.get() > seen {
                socket
                    .flows
                    .borrow_mut()
                    .order
                    .push_back((id, flow.last_io.get()));
                continue;
            }
            return self.close_flow(&flow, Reason::Idle);
        }
        let next = socket.flows.borrow_mut().order.pop_front();
        if let Some(flow) = next.and_then(|(id, _)| self.flow_at(socket, id)) {
            self.close_flow(&flow, Reason::Idle);
        }
    }

    /// The flow of this id, unless it has moved to another face.
    pub(super) fn flow_at(&self, socket: &Rc<Socket>, id: Id) -> Option<Rc<Flow>> {
        match self.table.get(id) {
            Some(Entity::Flow(flow)) if Rc::ptr_eq(&flow.socket(), socket) => Some(flow),
            _ => None,
        }
    }

    fn idle_timeout(flow: &Flow) -> Option<Duration> {
        match flow.service().instance.flows() {
            Some((nanos, _)) if nanos != 0 => Some(Duration::from_nanos(nanos)),
            _ => flow.service().timeouts.idle,
        }
    }

    /// Sees to it that the flow is looked at when its idle timeout could be due.
    pub(super) fn arm_flow(&self, flow: &Flow) {
        if let Some(entry) = flow.deadline.take() {
            self.timers.remove(entry);
        }
        if let Some(idle) = Self::idle_timeout(flow) {
            let gone = Duration::from_nanos(self.clock.now().saturating_sub(flow.last_io.get()));
            let entry = self
                .timers
                .add(Due::Look(flow.id), idle.saturating_sub(gone));
            flow.deadline.set(Some(entry));
        }
    }

    pub(super) fn flow_due(&self, flow: &Rc<Flow>) {
        flow.deadline.set(None);
        let gone = Duration::from_nanos(self.clock.now().saturating_sub(flow.last_io.get()));
        match Self::idle_timeout(flow) {
            Some(idle) if gone >= idle => self.close_flow(flow, Reason::Idle),
            _ => self.arm_flow(flow),
        }
    }

    pub(super) fn flow_woken(&self, flow: &Rc<Flow>, bits: u64) {
        if flow.hears() {
            let service = flow.service();
            let instance = &service.instance;
            let said = instance.notify(flow.id, flow.state.get(), Notice::Wake(bits));
            self.flow_told(flow, "on_wake", said);
        }
    }

    pub(super) fn flow_timer(&self, flow: &Rc<Flow>, key: u32) {
        let wanted = flow.timers.borrow_mut().fired(&self.timers, flow.id, key);
        if wanted && flow.hears() {
            let service = flow.service();
            let instance = &service.instance;
            let said = instance.notify(flow.id, flow.state.get(), Notice::Timer(key));
            self.flow_told(flow, "on_timer", said);
        }
    }

    /// A callback about a flow has returned; a fault ends the flow, and nothing but the flow.
    pub(super) fn flow_told(
        &self,
        flow: &Rc<Flow>,
        callback: &str,
        said: Result<(), CallbackError>,
    ) {
        if let Err(error) = said {
            tell_fault(&flow.service(), flow.id, callback, error);
            self.close_flow(flow, Reason::PluginFault);
        }
        self.after_callback();
    }

    pub(super) fn close_flow(&self, flow: &Rc<Flow>, reason: Reason) {
        if flow.ended.replace(true) {
            return;
        }
        let service = flow.service();
        let instance = &service.instance;
        if let Err(error) =
            instance.notify(flow.id, flow.state.get(), Notice::Closed(reason.code()))
        {
            tell_fault(&flow.service(), flow.id, "closed", error);
        }
        self.release_flow(flow);
        self.after_callback();
        let socket = Rc::clone(&flow.socket());
        self.drained(&socket);
        self.part(&socket);
    }

    fn release_flow(&self, flow: &Flow) {
        flow.timers.borrow_mut().clear(&self.timers);
        if let Some(entry) = flow.deadline.take() {
            self.timers.remove(entry);
        }
        {
            let socket = flow.socket();
            let mut flows = socket.flows.borrow_mut();
            flows.remove(flow);
            // The order forgets it lazily; it is swept when it is mostly the past.
            if flows.order.len() > 64 && flows.order.len() > flows.by_peer.len() * 2 {
                flows.sweep();
            }
        }
        self.ids.remove(flow.id);
        if self.table.remove(flow.id) {
            flow.service().ended();
        }
        self.count_live();
    }
}

/// How many flows a socket may have; `None`: its handler has no flows.
fn most_flows(socket: &Socket) -> Option<usize> {
    let (_, max) = socket.service().instance.flows()?;
    Some(match max {
        0 => FLOWS_MAX,
        max => usize::try_from(max).unwrap_or(FLOWS_MAX),
    })
}
