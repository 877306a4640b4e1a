//! Applying a snapshot: what this worker serves is compared with what it is to serve, between two callbacks.
//!
//! Listeners and sockets change at once. Streams are visited by a cursor, some in each turn, so that a hundred thousand
//! of them do not hold up the worker.

mod fate;
mod sockets;
mod streams;

use std::sync::Arc;

use polyport_common::wait_group::Token;
use polyport_host::id::Id;

use self::fate::Plan;
use self::streams::Visit;
use crate::core::{Core, Work};
use crate::listen::DatagramListener;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// What is served now, and the snapshot that is being applied.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    /// `None` before the first snapshot, and from the shutdown or hand-over on.
    serving: Option<Serving>,
    visit: Option<Visit>,
}

#[derive(Debug)]
struct Serving {
    snapshot: Arc<Snapshot>,
    plan: Plan,
}

/// What a turn of a reload came to.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Streams that are to drain.
    pub(crate) drains: Vec<Id>,
    /// Is the snapshot applied?
    pub(crate) is_done: bool,
    /// Then the queued drains begin, within this time, nanoseconds.
    pub(crate) grace: Option<u64>,
}

impl Reload {
    /// Begins to apply a snapshot. The one before is dropped: it keeps listeners open, and a connection that arrives after
    /// the accept queue was emptied would be reset when the listener closes.
    pub(crate) fn begin(&mut self, core: &Core, snapshot: &Arc<Snapshot>, token: Token) {
        core.pause.note_left(&snapshot.leaving);
        let before = self.serving.replace(Serving {
            snapshot: Arc::clone(snapshot),
            plan: Plan::new(core, snapshot),
        });
        let differs = before.is_none_or(|before| differ(&before.snapshot, snapshot));
        let unfinished = self.visit.take();
        let visit = Visit::new(core, snapshot.number, differs, token, unfinished.as_ref());
        self.visit = Some(visit);
        core.ready.push_next(Work::Reload);
    }

    /// Queues what becomes of the sockets; returns those that are to be opened.
    pub(crate) fn apply_to_sockets(
        &self,
        core: &Core,
    ) -> Vec<(Arc<DatagramListener>, Arc<Service>)> {
        let serving = self.serving.as_ref();
        serving.map_or_else(Vec::new, |serving| sockets::apply(core, &serving.snapshot))
    }

    /// Is a snapshot being applied? Then commands wait, for they may build upon it.
    pub(crate) fn is_running(&self) -> bool {
        self.visit.is_some()
    }

    /// Visits the next streams.
    pub(crate) fn go_on(&mut self, core: &Core) -> Progress {
        let (Some(serving), Some(visit)) = (&self.serving, &mut self.visit) else {
            return Progress::default();
        };
        let is_done = visit.go_on(core, &serving.plan);
        let drains = visit.take_drains();
        if !is_done {
            core.ready.push_next(Work::Reload);
            return Progress {
                drains,
                ..Progress::default()
            };
        }
        let visit = self.visit.take();
        Progress {
            drains,
            is_done,
            grace: visit.and_then(|visit| visit.finish(core)),
        }
    }

    /// Decides about an object that has opened after the snapshot, and whose service or listener may be gone. Returns the
    /// stream that is to drain.
    pub(crate) fn place(&self, core: &Core, id: Id) -> Option<Id> {
        let serving = self.serving.as_ref()?;
        if let Some(stream) = core.table.stream(id) {
            return streams::place(core, &serving.plan, &stream).then_some(id);
        }
        if let Some(socket) = core.table.socket(id) {
            sockets::place(core, &serving.snapshot, &socket);
        }
        None
    }

    /// The service of this name, as it is now.
    pub(crate) fn service(&self, name: &str) -> Option<&Arc<Service>> {
        self.serving.as_ref()?.plan.service(name)
    }

    /// Serves nothing any more: what is there ends, and nothing begins.
    pub(crate) fn end(&mut self) {
        self.serving = None;
        self.visit = None;
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
