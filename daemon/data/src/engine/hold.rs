//! Instances that are held: nothing of theirs is called until they are released. What would have been called is put
//! aside, each thing once, so it is bounded by what lives here.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::id::Id;
use polyport_host::instance::Instance;
use polyport_sys::epoll::Event;

use super::Engine;
use super::dial::Later;
use super::socket::Socket;
use super::stream::{Flag, Stream};
use super::table::Entity;
use crate::shut::Reason;
use crate::snapshot::Leaving;
use crate::worker::Accepted;
use crate::worker::Due;

/// From a release to a look at a flow that might have been idle.
const FLOW_PAUSE: Duration = Duration::from_millis(100);

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// Is anything held? All that the data path asks.
    any: Cell<bool>,
    /// Indices of instances; one that is held twice stands here twice.
    instances: RefCell<Vec<u32>>,
    /// Instances that were held when they were replaced or removed, until they are gone.
    left: RefCell<HashSet<u32>>,
    aside: RefCell<Aside>,
}

/// What waits for the release.
#[derive(Debug, Default)]
struct Aside {
    /// Streams and sockets that have news.
    events: HashSet<Id>,
    woken: HashMap<Id, u64>,
    /// Entries of the queue of deadlines, in the order in which they came.
    dues: Vec<Due>,
    /// Nothing of a held instance runs, so nothing adds to it but dials that were under way.
    later: Vec<Later>,
    /// Streams whose turn to drain came.
    drains: Vec<Id>,
    /// Connections that were taken from listeners that are gone, or by other workers.
    accepted: Vec<Accepted>,
}

impl Holding {
    pub(super) fn is_held(&self, instance: u32) -> bool {
        self.any.get() && self.instances.borrow().contains(&instance)
    }
}

impl Engine {
    /// Calls nothing of these instances from now on.
    pub(super) fn hold(&self, instances: &Arc<[u32]>) {
        let holding = &self.holding;
        holding.instances.borrow_mut().extend(&**instances);
        holding.any.set(!holding.instances.borrow().is_empty());
        self.review_listeners();
    }

    /// Goes on with these instances.
    pub(super) fn let_go(&self, instances: &Arc<[u32]>) {
        {
            let mut held = self.holding.instances.borrow_mut();
            for instance in &**instances {
                if let Some(place) = held.iter().position(|one| one == instance) {
                    held.swap_remove(place);
                }
            }
            self.holding.any.set(!held.is_empty());
        }
        self.resume();
    }

    /// Holds nobody any more: a shutdown waits for no release.
    pub(super) fn let_all_go(&self) {
        if self.holding.any.replace(false) {
            self.holding.instances.borrow_mut().clear();
            self.resume();
        }
    }

    /// Is nothing of this instance to be called now?
    pub(super) fn is_held(&self, instance: u32) -> bool {
        self.holding.is_held(instance)
    }

    pub(super) fn is_stream_held(&self, stream: &Stream) -> bool {
        if !self.holding.any.get() || stream.has(Flag::ENDED) {
            return false;
        }
        let instance = &stream.service().instance;
        // That of a frozen instance ends, and `closed` is still called.
        self.is_held(instance.index()) && !self.is_frozen(instance)
    }

    /// Notes which instances leave while they are held.
    pub(super) fn note_left(&self, leaving: &[Leaving]) {
        let leaving = leaving.iter().map(|one| one.instance);
        let all: HashSet<u32> = leaving.collect();
        let mut left = self.holding.left.borrow_mut();
        left.retain(|one| all.contains(one));
        left.extend(all.into_iter().filter(|one| self.is_held(*one)));
    }

    /// Has its state gone to another, so that nothing of it is called any more but the end of what it has?
    pub(super) fn is_frozen(&self, instance: &Instance) -> bool {
        instance.is_exclusive() && self.holding.left.borrow().contains(&instance.index())
    }

    fn holds(&self, id: Id) -> bool {
        self.holding.any.get()
            && match self.table.get(id) {
                Some(Entity::Stream(stream)) => self.is_stream_held(&stream),
                Some(Entity::Socket(socket)) => self.is_held(socket.service().instance.index()),
                Some(Entity::Flow(flow)) => self.is_held(flow.service().instance.index()),
                None => false,
            }
    }

    /// Puts aside that a stream or socket goes on; says whether it is held.
    pub(super) fn aside_again(&self, id: Id) -> bool {
        let held = self.holds(id);
        if held {
            self.holding.aside.borrow_mut().events.insert(id);
        }
        held
    }

    /// Puts aside that something has come to a datagram socket, if a face is held that it may be for; says whether.
    /// So it waits in the kernel, in its order, and nothing of it has to be kept. All that has come to a socket that
    /// another process reads from waits there too.
    pub(super) fn aside_ground(&self, serving: &Socket) -> bool {
        if self.ceded.get() && serving.socket.listener().is_some() {
            self.holding.aside.borrow_mut().events.insert(serving.id);
            return true;
        }
        if !self.holding.any.get() {
            return false;
        }
        let is_held = |face: &Socket| self.is_held(face.service().instance.index());
        let faces = self.earlier_faces(&serving.socket);
        let mut with_flows = faces.iter().filter(|face| !face.flows.borrow().is_empty());
        let held = is_held(serving) || with_flows.any(|face| is_held(face));
        if held {
            self.holding.aside.borrow_mut().events.insert(serving.id);
        }
        held
    }

    /// Puts an event of a stream or socket aside; says whether it is held.
    pub(super) fn aside_event(&self, id: Id, event: Event) -> bool {
        if !self.holds(id) {
            return false;
        }
        if let Some(stream) = self.table.stream(id) {
            stream.heard(event);
            if stream.has(Flag::CONNECTING) && !event.writable && !event.error {
                // It does not say that the dial is done.
                return true;
            }
        }
        self.holding.aside.borrow_mut().events.insert(id);
        true
    }

    pub(super) fn aside_due(&self, due: Due) -> bool {
        let held = match due {
            Due::Look(id) | Due::Timer(id, _) | Due::Receive(id) | Due::Parting(id) => {
                self.holds(id)
            }
            Due::Listener(_) | Due::Drain => false,
        };
        if held {
            self.forget_entry(due);
            self.holding.aside.borrow_mut().dues.push(due);
        }
        held
    }

    /// An entry has come: who keeps its key forgets it now, for it may name another's from now on.
    fn forget_entry(&self, due: Due) {
        match (due, self.entity_of(due)) {
            (Due::Look(_), Some(Entity::Stream(stream))) => stream.deadline.set(None),
            (Due::Look(_), Some(Entity::Flow(flow))) => flow.deadline.set(None),
            (Due::Timer(_, key), Some(owner)) => owner.timers().borrow_mut().came(key),
            _ => {}
        }
    }

    /// Is it still due, or was it set again while it was aside?
    fn is_still_due(&self, due: Due) -> bool {
        match (due, self.entity_of(due)) {
            (Due::Look(_), Some(Entity::Stream(stream))) => stream.deadline.get().is_none(),
            (Due::Look(_), Some(Entity::Flow(flow))) => flow.deadline.get().is_none(),
            (Due::Timer(_, key), Some(owner)) => owner.timers().borrow().waits(key),
            (_, owner) => owner.is_some(),
        }
    }

    fn entity_of(&self, due: Due) -> Option<Entity> {
        match due {
            Due::Look(id) | Due::Timer(id, _) | Due::Receive(id) | Due::Parting(id) => {
                self.table.get(id)
            }
            Due::Listener(_) | Due::Drain => None,
        }
    }

    pub(super) fn aside_woken(&self, id: Id, bits: u64) -> bool {
        let held = self.holds(id);
        if held {
            *self.holding.aside.borrow_mut().woken.entry(id).or_default() |= bits;
        }
        held
    }

    pub(super) fn aside_later(&self, later: Later) -> Option<Later> {
        let held = match &later {
            Later::DialFailed(service, ..) => self.is_held(service.instance.index()),
            Later::OpenSocket(id)
            | Later::SendError(id, ..)
            | Later::Close(id)
            | Later::Poisoned(id)
            | Later::Writable(id) => self.holds(*id),
        };
        if !held {
            return Some(later);
        }
        self.holding.aside.borrow_mut().later.push(later);
        None
    }

    pub(super) fn aside_drain(&self, stream: &Stream) -> bool {
        let held = self.is_stream_held(stream);
        if held {
            self.holding.aside.borrow_mut().drains.push(stream.id);
        }
        held
    }

    pub(super) fn aside_accepted(&self, accepted: Accepted) -> Option<Accepted> {
        if !self.is_held(accepted.service.instance.index()) {
            return Some(accepted);
        }
        self.holding.aside.borrow_mut().accepted.push(accepted);
        None
    }

    /// Closes connections of these instances that were put aside.
    pub(super) fn drop_accepted(&self, instances: &[u32]) {
        let mut aside = self.holding.aside.borrow_mut();
        let gone = |one: &mut Accepted| instances.contains(&one.service.instance.index());
        let dropped: Vec<Accepted> = aside.accepted.extract_if(.., gone).collect();
        drop(aside);
        for accepted in dropped {
            self.give_back(accepted.permit);
        }
    }

    /// Who is still to be told that a dial came to nothing.
    pub(super) fn untold_parents(&self) -> Vec<Id> {
        let (later, aside) = (self.later.borrow(), self.holding.aside.borrow());
        let all = later.iter().chain(&aside.later);
        all.filter_map(|later| match later {
            Later::DialFailed(_, dialled, _) => Some(dialled.parent),
            _ => None,
        })
        .collect()
    }

    /// Does what was put aside; what is still held, or is held again by now, is put aside again.
    pub(super) fn resume(&self) {
        self.review_listeners();
        let aside = self.holding.aside.take();
        for id in aside.events {
            self.resume_event(id);
        }
        for (id, bits) in aside.woken {
            self.woken(id, bits);
        }
        for due in aside.dues {
            if self.is_still_due(due) {
                self.resume_due(due);
            }
        }
        self.later.borrow_mut().extend(aside.later);
        self.resume_drains(aside.drains);
        for accepted in aside.accepted {
            self.adopt(accepted);
        }
    }

    /// What was missed is not known in all detail: everything that can be is looked at.
    fn resume_event(&self, id: Id) {
        if self.aside_again(id) {
            return;
        }
        let event = Event {
            token: id.raw(),
            readable: true,
            writable: true,
            read_closed: false,
            error: false,
        };
        match self.table.get(id) {
            Some(Entity::Stream(stream)) => self.stream_event(&stream, event),
            Some(Entity::Socket(socket)) => self.socket_event(&socket, event),
            Some(Entity::Flow(_)) | None => {}
        }
    }

    /// A flow is not idle while datagrams for it may wait in the kernel: it is looked at when they were received.
    fn resume_due(&self, due: Due) {
        if let Due::Look(id) = due
            && let Some(Entity::Flow(flow)) = self.table.get(id)
        {
            let entry = self.timers.add(due, FLOW_PAUSE);
            return flow.deadline.set(Some(entry));
        }
        self.due(due);
    }

    fn resume_drains(&self, drains: Vec<Id>) {
        let mut shortest = None;
        for stream in drains.iter().filter_map(|id| self.table.stream(*id)) {
            if !stream.has(Flag::TO_DRAIN) {
                continue;
            }
            stream.clear(Flag::TO_DRAIN);
            self.queue_drain(&stream);
            let left = stream.drain_until.get().saturating_sub(self.clock.now());
            shortest = Some(shortest.map_or(left, |shortest: u64| shortest.min(left)));
        }
        if let Some(grace) = shortest {
            self.spread_drains(grace);
        }
    }

    /// Ends a stream of a frozen instance, after what it has written; says whether it would have gone on.
    pub(super) fn end_frozen(&self, stream: &Rc<Stream>) -> bool {
        if stream.has(Flag::CONNECTING) {
            // Nobody is left who could be told.
            self.release(stream);
            return true;
        }
        stream.timers.borrow_mut().clear(&self.timers);
        let ends = stream.ending.borrow().is_none();
        stream.end(Reason::Drain, true, None);
        self.again(stream);
        ends
    }
}
