//! A new snapshot: what this worker serves is compared with what it is to serve, between two callbacks.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::Id;

use super::Engine;
use super::migrate::Moved;
use super::stream::{Flag, Stream};
use super::table::Entity;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// What a snapshot says of streams.
struct Plan<'a> {
    services: HashMap<&'a str, &'a Arc<Service>>,
    /// Addresses that are listened on.
    listening: HashSet<&'a str>,
    /// Until when the streams of an instance drain, nanoseconds of the monotonic clock.
    leaving: HashMap<u32, u64>,
}

/// What is to become of a stream.
enum Place<'a> {
    /// It is where it belongs.
    Kept,
    /// Its service has other limits or timeouts, and the same instance.
    Renewed(&'a Arc<Service>),
    /// Its service has another instance.
    Replaced(&'a Arc<Service>),
    /// Its service or its listener is gone.
    Gone,
}

impl<'a> Plan<'a> {
    fn of(engine: &Engine, snapshot: &'a Snapshot) -> Self {
        let services = snapshot.services.iter();
        let listeners = snapshot.listeners.iter();
        let leaving = snapshot.leaving.iter();
        Self {
            services: services
                .map(|service| (service.name.as_str(), service))
                .collect(),
            listening: listeners
                .map(|(listener, _)| listener.address.as_str())
                .collect(),
            leaving: leaving
                .filter_map(|one| Some((one.instance, engine.nanos_of(one.until?))))
                .collect(),
        }
    }

    fn place(&self, stream: &Stream) -> Place<'a> {
        let service = stream.service();
        if service.name.is_empty() {
            // Dialled by an instance: it goes with the instance.
            return Place::Kept;
        }
        let is_replaced = stream.has(Flag::REPLACED);
        let listens = stream.listener.is_empty() || self.listening.contains(&*stream.listener);
        let now = self.services.get(service.name.as_str());
        match now.filter(|_| listens) {
            Some(now) if Arc::ptr_eq(now, &service) => Place::Kept,
            Some(now) if now.instance.index() == service.instance.index() => Place::Renewed(now),
            // It stays with an old instance, and ends when that leaves.
            Some(_) if is_replaced => Place::Kept,
            Some(now) => Place::Replaced(now),
            None => Place::Gone,
        }
    }
}

impl Engine {
    pub(super) fn take_snapshot(&self, snapshot: Arc<Snapshot>) {
        if self.phase.get().is_some() {
            // What is there ends; nothing begins any more.
            return;
        }
        self.note_left(&snapshot.leaving);
        let before = self.snapshot.replace(Some(Arc::clone(&snapshot)));
        // The one before goes here: it holds listeners, and who comes to one after its queue was emptied would be reset.
        let differs = before.is_none_or(|before| differ(&before, &snapshot));
        self.swap_listeners(&snapshot.listeners);
        if differs {
            self.swap_streams(&snapshot);
        }
        self.swap_sockets(&snapshot);
        // What has other code now is not held any more.
        self.resume();
    }

    fn swap_streams(&self, snapshot: &Snapshot) {
        let plan = Plan::of(self, snapshot);
        let all = self.table.all();
        let families = self.families(&all);
        let mut moved = Moved::default();
        let mut shortest = None;
        for entity in &all {
            let Entity::Stream(stream) = entity else {
                continue;
            };
            if stream.has(Flag::ENDED) {
                continue;
            }
            let place = plan.place(stream);
            if let Place::Replaced(service) = &place {
                let alone = families.get(&stream.family) == Some(&1);
                self.migrate(stream, service, alone, &mut moved);
            }
            if self.is_frozen(&stream.service().instance) {
                moved.draining += usize::from(self.end_frozen(stream));
                if stream.has(Flag::ENDED) {
                    continue;
                }
                self.put(stream, &plan, &place);
                continue;
            }
            let (drains, waits) = (stream.has(Flag::DRAINING), stream.has(Flag::TO_DRAIN));
            let before = stream.drain_until.get();
            if let Some(until) = self.put(stream, &plan, &place)
                && !drains
            {
                moved.draining += usize::from(!waits);
                if !waits || until < before {
                    let grace = until.saturating_sub(self.clock.now());
                    shortest = Some(shortest.map_or(grace, |shortest: u64| shortest.min(grace)));
                }
            }
        }
        if let Some(grace) = shortest {
            self.spread_drains(grace);
        }
        moved.tell(self.number, snapshot.number);
    }

    /// How many of each family live. A dial that is not done counts, and one that came to nothing as long as nobody was
    /// told.
    fn families(&self, all: &[Entity]) -> HashMap<Id, usize> {
        let living = all.iter().filter_map(|entity| match entity {
            Entity::Stream(stream) if stream.has(Flag::ENDED) => None,
            Entity::Stream(stream) => Some(stream.family),
            Entity::Socket(socket) => Some(socket.family),
            Entity::Flow(_) => None,
        });
        let mut families = HashMap::new();
        for family in living.chain(self.untold_parents()) {
            *families.entry(family).or_default() += 1;
        }
        families
    }

    /// A stream that has come after the snapshot, of a service or listener that may be gone.
    pub(super) fn place_again(&self, stream: &Rc<Stream>) {
        let snapshot = self.snapshot.borrow();
        let Some(snapshot) = &*snapshot else { return };
        if stream.has(Flag::ENDED) {
            return;
        }
        let is_known = {
            let service = stream.service();
            let mut services = snapshot.services.iter();
            stream.listener.is_empty()
                && snapshot.leaving.is_empty()
                && services.any(|one| Arc::ptr_eq(one, &service))
        };
        if is_known {
            return;
        }
        let plan = Plan::of(self, snapshot);
        let place = plan.place(stream);
        if self.put(stream, &plan, &place).is_some() {
            stream.clear(Flag::TO_DRAIN);
            self.drain_stream(stream);
        }
    }

    /// Puts a stream in its place; says until when it drains, if it does.
    fn put(&self, stream: &Rc<Stream>, plan: &Plan<'_>, place: &Place<'_>) -> Option<u64> {
        let mut until = None;
        match place {
            Place::Kept => {}
            Place::Renewed(service) => {
                stream.change_service(service);
                stream.clear(Flag::REPLACED);
                if !stream.has(Flag::CONNECTING) {
                    self.arm(stream);
                }
            }
            Place::Replaced(service) => {
                if !Arc::ptr_eq(&stream.service(), service) {
                    stream.set(Flag::REPLACED);
                }
            }
            Place::Gone => {
                let grace = u64::try_from(stream.service().grace.as_nanos());
                until = Some(self.clock.now().saturating_add(grace.unwrap_or(u64::MAX)));
            }
        }
        let leaving = plan.leaving.get(&stream.service().instance.index());
        let until = until.into_iter().chain(leaving.copied()).min();
        match until {
            Some(until) => self.queue_drain_until(stream, until),
            None => self.unqueue_drain(stream),
        }
        until
    }
}

/// Does anything differ that streams go by?
fn differ(before: &Snapshot, after: &Snapshot) -> bool {
    let services = |one: &Snapshot| -> Vec<_> { one.services.iter().map(Arc::as_ptr).collect() };
    let listeners =
        |one: &Snapshot| -> Vec<_> { one.listeners.iter().map(|(l, _)| Arc::as_ptr(l)).collect() };
    services(before) != services(after)
        || listeners(before) != listeners(after)
        || before.leaving != after.leaving
}
