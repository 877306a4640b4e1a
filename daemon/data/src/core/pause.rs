//! Paused instances: none of their callbacks is called until they are resumed. Work for them is deferred; causes that
//! can be joined are deferred once, so the deferred work is bounded by what lives here.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use polyport_host::id::Id;
use polyport_host::instance::Instance;

use super::{Cause, Core, Work};
use crate::object::{Entity, Flag};
use crate::snapshot::Leaving;

/// From a resume to the check of a flow that might have been idle: datagrams for it may wait in the kernel.
const FLOW_DELAY: Duration = Duration::from_millis(100);

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct PauseSet {
    /// Is any instance paused? All that the data path asks.
    any: Cell<bool>,
    /// Numbers of instances; one that is paused twice stands here twice.
    instances: RefCell<Vec<u32>>,
    /// Instances that were paused when they were replaced or removed, until they are gone.
    left: RefCell<HashSet<u32>>,
    deferred: RefCell<Vec<Work>>,
    /// Bits of deferred wakes.
    wakes: RefCell<BTreeMap<Id, u64>>,
}

impl PauseSet {
    /// May no callback of this instance be called now?
    #[inline]
    pub(crate) fn is_paused(&self, instance: u32) -> bool {
        self.any.get() && self.instances.borrow().contains(&instance)
    }

    /// Is the state of the instance already with its replacement? Then only `export_state` and `closed` may still be
    /// called, and everything that it has ends.
    pub(crate) fn is_fenced(&self, instance: &Instance) -> bool {
        instance.is_exclusive() && self.left.borrow().contains(&instance.index())
    }

    /// Pauses these instances.
    pub(crate) fn pause(&self, instances: &[u32]) {
        self.instances.borrow_mut().extend(instances);
        self.any.set(!self.instances.borrow().is_empty());
    }

    /// Takes back one pause of each of these instances.
    pub(crate) fn unpause(&self, instances: &[u32]) {
        let mut paused = self.instances.borrow_mut();
        for instance in instances {
            if let Some(place) = paused.iter().position(|one| one == instance) {
                paused.swap_remove(place);
            }
        }
        self.any.set(!paused.is_empty());
    }

    /// Takes back all pauses: a shutdown waits for no resume.
    pub(crate) fn unpause_all(&self) {
        self.instances.borrow_mut().clear();
        self.any.set(false);
    }

    /// Notes which instances leave while they are paused.
    pub(crate) fn note_left(&self, leaving: &[Leaving]) {
        let all: HashSet<u32> = leaving.iter().map(|one| one.instance).collect();
        let mut left = self.left.borrow_mut();
        left.retain(|one| all.contains(one));
        left.extend(all.into_iter().filter(|one| self.is_paused(*one)));
    }

    /// Defers work until the next resume.
    pub(crate) fn defer(&self, work: Work) {
        self.deferred.borrow_mut().push(work);
    }
}

impl Core {
    /// Returns the work if it may be done now; else defers it. The one check for paused instances.
    #[inline]
    pub(crate) fn pass(&self, work: Work) -> Option<Work> {
        if self.pause.any.get() {
            self.pass_or_defer(work)
        } else {
            Some(work)
        }
    }

    #[cold]
    fn pass_or_defer(&self, work: Work) -> Option<Work> {
        let is_paused = match &work {
            Work::Object(id, cause) => {
                let entity = self.table.get(*id)?;
                self.is_held(&entity, cause)
            }
            Work::DialFailed(failed) => self.pause.is_paused(failed.service.instance.index()),
            Work::Open(accepted) => {
                let instance = &accepted.service.instance;
                self.pause.is_paused(instance.index()) && !self.pause.is_fenced(instance)
            }
            Work::Accept(_) | Work::Listen(_) | Work::Dial(_) | Work::Pace | Work::Reload => false,
        };
        if !is_paused {
            return Some(work);
        }
        match work {
            Work::Object(id, cause) => self.defer_cause(id, cause),
            work => self.pause.defer(work),
        }
        None
    }

    fn is_held(&self, entity: &Entity, cause: &Cause) -> bool {
        let object = entity.object();
        if !self.pause.is_paused(object.instance()) {
            return false;
        }
        // Of a fenced instance everything ends, and `closed` is still called.
        let is_fenced = self.pause.is_fenced(&object.service().instance);
        match (entity, cause) {
            // What becomes of it is decided by the host alone.
            (_, Cause::Rebind(_) | Cause::Place) => false,
            (Entity::Stream(stream), _) => {
                !(object.has(Flag::ENDED) || is_fenced && stream.is_ending())
            }
            (Entity::Socket(_) | Entity::Flow(_), Cause::Close(_) | Cause::Settle) => {
                !is_fenced && !object.has(Flag::SUPERSEDED)
            }
            (Entity::Socket(_) | Entity::Flow(_), _) => true,
        }
    }

    fn defer_cause(&self, id: Id, cause: Cause) {
        let Some(entity) = self.table.get(id) else {
            return;
        };
        let object = entity.object();
        match cause {
            Cause::Wake(bits) => {
                *self.pause.wakes.borrow_mut().entry(id).or_default() |= bits;
                return;
            }
            Cause::Ready(event) => {
                if let Entity::Stream(stream) = &entity {
                    stream.on_readiness(event);
                    if object.has(Flag::CONNECTING) && !event.writable && !event.error {
                        // The dial is not done.
                        return;
                    }
                }
            }
            Cause::More => object.clear(Flag::QUEUED),
            Cause::Flush => object.clear(Flag::FLUSH_QUEUED),
            Cause::Resumed => object.clear(Flag::DEFERRED),
            Cause::Receive => {}
            Cause::Timeout => {
                object.timeout.set(None);
                return self.pause.defer(Work::Object(id, cause));
            }
            cause => return self.pause.defer(Work::Object(id, cause)),
        }
        self.defer_readiness(object);
    }

    /// Notes that something has come for a paused object, once; what it was is looked at after the resume.
    pub(crate) fn defer_readiness(&self, object: &crate::object::Object) {
        if object.mark(Flag::DEFERRED) {
            self.pause.defer(Work::Object(object.id, Cause::Resumed));
        }
    }

    /// Queues everything that was deferred; what is still paused is deferred again when its turn comes.
    pub(crate) fn requeue_deferred(&self) {
        let deferred = self.pause.deferred.take();
        let wakes = self.pause.wakes.take();
        let (readiness, others): (Vec<_>, Vec<_>) = deferred
            .into_iter()
            .partition(|work| matches!(work, Work::Object(_, Cause::Resumed)));
        readiness.into_iter().for_each(|work| self.ready.push(work));
        for (id, bits) in wakes {
            self.queue(id, Cause::Wake(bits));
        }
        others.into_iter().for_each(|work| self.requeue(work));
    }

    fn requeue(&self, work: Work) {
        match work {
            Work::Object(id, Cause::Timeout) if let Some(flow) = self.table.flow(id) => {
                let key = self.after(FLOW_DELAY, Work::Object(id, Cause::Timeout));
                flow.object.timeout.set(Some((key, 0)));
            }
            // Many may have been deferred: they are paced anew.
            Work::Object(id, Cause::Drain(_)) if self.table.stream(id).is_some() => {
                self.queue(id, Cause::Requeue);
            }
            work => self.ready.push(work),
        }
    }

    /// Takes the accepted connections of these instances out of the deferred work.
    pub(crate) fn drop_deferred_connections(&self, instances: &[u32]) {
        let is_gone = |work: &mut Work| matches!(work, Work::Open(accepted) if instances.contains(&accepted.service.instance.index()));
        let dropped: Vec<Work> = self
            .pause
            .deferred
            .borrow_mut()
            .extract_if(.., is_gone)
            .collect();
        for work in dropped {
            if let Work::Open(accepted) = work {
                self.give_back(accepted.permit);
            }
        }
    }
}
