//! What a snapshot means for a stream: the pure part of a reload.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::core::Core;
use crate::object::{Flag, Stream};
use crate::service::Service;
use crate::snapshot::Snapshot;

/// A snapshot as streams need it.
#[derive(Debug)]
pub(super) struct Plan {
    services: HashMap<String, Arc<Service>>,
    /// Addresses that are listened on.
    listening: HashSet<Arc<str>>,
    /// Until when the streams of an instance drain, nanoseconds.
    leaving: HashMap<u32, u64>,
}

/// What becomes of a stream.
pub(super) enum Fate<'a> {
    /// Nothing changes.
    Keep,
    /// Its service has other limits or timeouts, and the same instance.
    Rebind(&'a Arc<Service>),
    /// Its service has another instance.
    Replace(&'a Arc<Service>),
    /// Its service or its listener is gone.
    Remove,
}

impl Plan {
    pub(super) fn new(core: &Core, snapshot: &Snapshot) -> Self {
        let services = snapshot.services.iter();
        let listeners = snapshot.listeners.iter();
        let leaving = snapshot.leaving.iter();
        Self {
            services: services
                .map(|service| (service.name.clone(), Arc::clone(service)))
                .collect(),
            listening: listeners
                .map(|(listener, _)| Arc::clone(&listener.name))
                .collect(),
            leaving: leaving
                .filter_map(|one| Some((one.instance, core.clock.nanos_of(one.until?))))
                .collect(),
        }
    }

    /// The service of this name.
    pub(super) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.services.get(name)
    }

    /// Until when what an instance has drains, nanoseconds; `None`: it does not leave, or ends when it likes.
    pub(super) fn leaves_by(&self, instance: u32) -> Option<u64> {
        self.leaving.get(&instance).copied()
    }

    /// What becomes of a stream.
    pub(super) fn fate(&self, stream: &Stream) -> Fate<'_> {
        let object = &stream.object;
        let service = object.service();
        if service.name.is_empty() {
            // An instance dialled it: it goes with the instance.
            return Fate::Keep;
        }
        let listens = object.listener.is_empty() || self.listening.contains(&object.listener);
        let now = self.service(&service.name);
        match now.filter(|_| listens) {
            Some(now) if Arc::ptr_eq(now, &service) => Fate::Keep,
            Some(now) if now.instance.index() == service.instance.index() => Fate::Rebind(now),
            // It stays with an old instance, and ends when that leaves.
            Some(_) if object.has(Flag::SUPERSEDED) => Fate::Keep,
            Some(now) => Fate::Replace(now),
            None => Fate::Remove,
        }
    }
}
