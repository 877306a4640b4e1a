//! A flow: the datagrams between one local and one remote address, for handlers that keep state of a peer.

use std::cell::{Cell, Ref, RefCell};
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use polyport_host::datagram::FlowInfo;
use polyport_host::id::Id;
use polyport_host::stream::Address;
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::LocalAddress;

use super::{Object, Socket, address};

/// A sender of datagrams, and which of our addresses it sent to.
pub(crate) type Sender = (PeerAddress, Option<LocalAddress>);

/// The default limit of flows of one socket.
const FLOWS_MAX: usize = 65_536;

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) object: Object,
    socket: RefCell<Rc<Socket>>,
    pub(crate) remote: PeerAddress,
    /// Which of our addresses the peer sends to.
    pub(crate) local: Option<LocalAddress>,
    /// When a datagram was sent or received last, nanoseconds.
    pub(crate) last_io: Cell<u64>,
}

impl Flow {
    /// A flow that no handler knows yet.
    pub(crate) fn new(object: Object, socket: &Rc<Socket>, sender: Sender, now: u64) -> Self {
        Self {
            object,
            socket: RefCell::new(Rc::clone(socket)),
            remote: sender.0,
            local: sender.1,
            last_io: Cell::new(now),
        }
    }

    /// The socket that answers go by; another only between two callbacks.
    #[inline]
    pub(crate) fn socket(&self) -> Ref<'_, Rc<Socket>> {
        self.socket.borrow()
    }

    /// Moves it to another socket of the same port; id and timers stay.
    pub(crate) fn move_to(&self, socket: &Rc<Socket>) {
        let from = self.socket.replace(Rc::clone(socket));
        from.flows.borrow_mut().remove(self);
        socket.flows.borrow_mut().insert(self);
        self.object.rebind(&socket.object.service());
    }

    /// The argument of `flow_open` and `import_state`.
    pub(crate) fn info(&self) -> FlowInfo {
        let socket = self.socket();
        let local = match (&socket.local, self.local) {
            (PeerAddress::Ip(local), Some(own)) => {
                Address::Ip(SocketAddr::new(own.ip, local.port()))
            }
            (local, _) => address(local),
        };
        FlowInfo {
            socket: socket.object.id,
            local,
            remote: address(&self.remote),
        }
    }

    /// The idle timeout: the handler's, or else the service's.
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        let service = self.object.service();
        match service.instance.handler().flows() {
            Some((nanos, _)) if nanos != 0 => Some(Duration::from_nanos(nanos)),
            _ => service.timeouts.idle,
        }
    }
}

/// The flows of one socket.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    by_peer: HashMap<Sender, Id>,
    /// For evictions: ids and when each was used last as far as is known, the one that was checked longest ago first.
    /// Ids of flows that have gone are removed lazily.
    order: VecDeque<(Id, u64)>,
}

impl Flows {
    /// The ids, in an order that is the same in each run.
    pub(crate) fn ids(&self) -> Vec<Id> {
        let mut ids: Vec<Id> = self.by_peer.values().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// The ids, the flow that was checked longest ago first.
    pub(crate) fn by_last_check(&self) -> Vec<Id> {
        let live: HashSet<Id> = self.by_peer.values().copied().collect();
        let order = self.order.iter().map(|(id, _)| *id);
        order.filter(|id| live.contains(id)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_peer.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_peer.is_empty()
    }

    /// The flow of a sender.
    pub(crate) fn of(&self, sender: &Sender) -> Option<Id> {
        self.by_peer.get(sender).copied()
    }

    pub(crate) fn insert(&mut self, flow: &Flow) {
        self.by_peer
            .insert((flow.remote.clone(), flow.local), flow.object.id);
    }

    /// Forgets a flow, unless its sender has another one by now.
    pub(crate) fn remove(&mut self, flow: &Flow) {
        let sender = (flow.remote.clone(), flow.local);
        if self.by_peer.get(&sender) == Some(&flow.object.id) {
            self.by_peer.remove(&sender);
        }
        if self.order.len() > 64 && self.order.len() > self.by_peer.len() * 2 {
            self.sweep();
        }
    }

    /// Removes ids of flows that are gone from the order.
    pub(crate) fn sweep(&mut self) {
        let live: HashSet<Id> = self.by_peer.values().copied().collect();
        self.order.retain(|(id, _)| live.contains(id));
    }

    /// A flow was used last at `used`, as far as was checked just now.
    pub(crate) fn checked(&mut self, id: Id, used: u64) {
        self.order.push_back((id, used));
    }

    /// The id that was checked longest ago, and when it was used last as of then.
    pub(crate) fn pop_oldest(&mut self) -> Option<(Id, u64)> {
        self.order.pop_front()
    }
}

/// How many flows a socket may have; `None`: its handler has no flows.
pub(crate) fn flows_max(socket: &Socket) -> Option<usize> {
    let (_, max) = socket.object.service().instance.handler().flows()?;
    Some(match max {
        0 => FLOWS_MAX,
        max => usize::try_from(max).unwrap_or(FLOWS_MAX),
    })
}
