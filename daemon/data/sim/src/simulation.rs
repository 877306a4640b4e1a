//! Everything of one run but the worker: the model of its objects, the peers, and what control knows.

use std::cell::RefCell;
use std::collections::BTreeMap;

use polyport_abi::PpHost;

use crate::actor::Actor;
use crate::control::Control;
use crate::counts::{Condition, Counts, Kind, Work};
use crate::driver::Remote;
use crate::object::Object;
use crate::peers::Peers;
use crate::random::Random;
use crate::trace::Trace;

/// See the module's text.
pub(crate) struct Simulation {
    pub(crate) random: Random,
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    pub(crate) remote: Remote,
    pub(crate) host: &'static PpHost,
    pub(crate) actors: Vec<Actor>,
    /// Objects by their ids, also those that have ended.
    pub(crate) objects: BTreeMap<u64, Object>,
    pub(crate) peers: Peers,
    pub(crate) dials: BTreeMap<u64, Dial>,
    pub(crate) control: Control,
    /// The id whose callback runs; 0: none does.
    pub(crate) running: u64,
    /// The flow or stream whose import runs, and the socket of the flow.
    pub(crate) importing: Option<(u64, u64)>,
    /// An export runs.
    pub(crate) exporting: bool,
    /// The work is done: handlers and peers only bring to an end what is there.
    pub(crate) calm: bool,
    /// The first violation of the model.
    pub(crate) violation: Option<String>,
}

/// A dial that the worker has taken.
#[derive(Debug, Clone)]
pub(crate) struct Dial {
    /// Who dialled: an id, or 0 for an instance.
    pub(crate) owner: u64,
    pub(crate) actor: usize,
    /// The slot of a listening socket that the sim answers at; `None`: the dial must fail, or is of datagrams.
    pub(crate) slot: Option<usize>,
    pub(crate) ended: bool,
}

thread_local! {
    static SIMULATION: RefCell<Option<Simulation>> = const { RefCell::new(None) };
}

/// Uses the sim of the run on this thread. Not nested: host functions are called outside of it.
pub(crate) fn with<R>(work: impl FnOnce(&mut Simulation) -> R) -> R {
    SIMULATION.with_borrow_mut(|sim| work(sim.as_mut().expect("a run is under way")))
}

/// Begins a run on this thread.
pub(crate) fn enter(sim: Simulation) {
    SIMULATION.set(Some(sim));
}

/// Ends it.
pub(crate) fn exit() -> Option<Simulation> {
    SIMULATION.take()
}

impl Simulation {
    /// Notes a violation of the model; the run ends after this turn.
    pub(crate) fn violate(&mut self, text: impl Into<String>) {
        let text = text.into();
        self.trace.step(&format!("VIOLATION {text}"), &[]);
        self.violation.get_or_insert(text);
    }

    /// The time since the start of the run, nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.remote.now()
    }

    /// The condition of an object, for the count.
    pub(crate) fn condition(&self, id: u64) -> Condition {
        let Some(object) = self.objects.get(&id) else {
            return Condition::Open;
        };
        if self
            .importing
            .is_some_and(|(one, socket)| one == id || socket == id)
        {
            Condition::Staged
        } else if self.is_paused(object.actor) {
            Condition::Paused
        } else if object.draining {
            Condition::Draining
        } else {
            Condition::Open
        }
    }

    /// Counts work on an object.
    pub(crate) fn count(&mut self, work: Work, id: u64) {
        if let Some(object) = self.objects.get(&id) {
            let kind = object.kind;
            let condition = self.condition(id);
            self.counts.add(work, kind, condition);
        }
    }

    /// Counts work on all open objects of an actor.
    pub(crate) fn count_all(&mut self, work: Work, fits: impl Fn(&Object) -> bool) {
        let all = self
            .objects
            .values()
            .filter(|one| one.is_open() && fits(one));
        let all: Vec<u64> = all.map(|one| one.id).collect();
        for id in all {
            self.count(work, id);
        }
    }

    /// Is nothing of this actor to be called?
    pub(crate) fn is_paused(&self, actor: usize) -> bool {
        self.control.is_paused(actor)
    }

    /// The open objects of a kind.
    pub(crate) fn open_objects(&self, kind: Kind) -> Vec<u64> {
        let all = self.objects.values();
        all.filter(|one| one.kind == kind && one.is_open())
            .map(|one| one.id)
            .collect()
    }
}
