//! The visit of all streams for one snapshot: keep, rebind, migrate, or drain.

use std::rc::Rc;
use std::sync::Arc;

use polyport_common::wait_group::Token;
use polyport_host::id::Id;
use polyport_host::status::CallbackError;

use super::fate::{Fate, Plan};
use crate::callback::{NotMoved, transfer_streams};
use crate::core::{Core, arm};
use crate::object::{Entity, Flag, Stream};
use crate::reason::Reason;
use crate::service::Service;

/// Slots of the table that are visited in one turn, at most.
const SLOTS: usize = 1024;
/// How long one turn visits, nanoseconds.
const TURN_NANOS: u64 = 500_000;
/// The time is read after so many slots.
const SLOTS_PER_LOOK: usize = 32;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Visit {
    snapshot: u64,
    /// The next slot of the table.
    cursor: usize,
    /// Slots from here on are of streams that opened since.
    end: usize,
    moved: Moved,
    /// Streams that are to drain.
    drains: Vec<Id>,
    /// The shortest time that a stream which is to drain has, nanoseconds.
    shortest: Option<u64>,
    /// Dropped when the snapshot is applied.
    _token: Token,
}

/// What became of the streams.
#[derive(Debug, Default)]
struct Moved {
    migrated: usize,
    stayed: usize,
    draining: usize,
    /// The migration was tried and failed; these stayed, too.
    failed: usize,
    /// Why, of the first that failed.
    reason: Option<(&'static str, CallbackError)>,
}

impl Visit {
    /// `differs`: there is something to do for streams at all. `unfinished`: the visit for the snapshot before.
    pub(super) fn new(
        core: &Core,
        snapshot: u64,
        differs: bool,
        token: Token,
        unfinished: Option<&Self>,
    ) -> Self {
        let has_work = differs || unfinished.is_some();
        Self {
            snapshot,
            cursor: 0,
            end: if has_work { core.table.slots() } else { 0 },
            moved: Moved::default(),
            drains: Vec::new(),
            shortest: unfinished.and_then(|unfinished| unfinished.shortest),
            _token: token,
        }
    }

    /// Visits the streams of some slots; returns whether all were visited.
    pub(super) fn go_on(&mut self, core: &Core, plan: &Plan) -> bool {
        let until = core.clock.read().saturating_add(TURN_NANOS);
        for visited in 1..=SLOTS {
            if self.cursor >= self.end {
                break;
            }
            if let Some(Some(Entity::Stream(stream))) = core.table.slot(self.cursor) {
                self.visit(core, plan, &stream);
            }
            self.cursor += 1;
            if visited % SLOTS_PER_LOOK == 0 && core.clock.read() >= until {
                break;
            }
        }
        self.cursor >= self.end
    }

    fn visit(&mut self, core: &Core, plan: &Plan, stream: &Rc<Stream>) {
        let object = &stream.object;
        if object.has(Flag::ENDED) {
            return;
        }
        if let Fate::Replace(service) = plan.fate(stream) {
            self.migrate(core, plan, stream, service);
        }
        let is_fenced = core.pause.is_fenced(&object.service().instance);
        if is_fenced {
            self.moved.draining += usize::from(end_fenced(core, stream));
            if object.has(Flag::ENDED) {
                return;
            }
        }
        let was_draining = object.has(Flag::DRAINING);
        let was_queued = object.has(Flag::DRAIN_QUEUED);
        let before = object.drain_until.get();
        let Some(until) = bind(core, plan, stream) else {
            if object.take(Flag::DRAIN_QUEUED) {
                // It goes on instead; its place in the pacer is skipped.
                object.drain_until.set(0);
            }
            return;
        };
        self.drains.push(object.id);
        if was_draining || is_fenced {
            return;
        }
        self.moved.draining += usize::from(!was_queued);
        if !was_queued || until < before {
            let grace = until.saturating_sub(core.clock.now());
            self.shortest = Some(self.shortest.map_or(grace, |shortest| shortest.min(grace)));
        }
    }

    /// Moves a stream with its whole group to another instance, if all can.
    fn migrate(&mut self, core: &Core, plan: &Plan, stream: &Rc<Stream>, next: &Arc<Service>) {
        let Some(group) = group_to_move(core, plan, stream, next) else {
            return self.stay(core, &[Rc::clone(stream)]);
        };
        match transfer_streams(core, &group, next) {
            Ok(()) => {
                self.moved.migrated += group.len();
                for one in &group {
                    // The new code may want less than the old.
                    one.input.want.set(1);
                    one.redeliver();
                    arm(core, one);
                    core.go_on(&one.object);
                }
            }
            Err(NotMoved::Failed(callback, error)) => {
                self.moved.failed += group.len();
                self.moved.reason.get_or_insert((callback, error));
                self.stay(core, &group);
            }
            Err(NotMoved::Unable | NotMoved::Ended) => self.stay(core, &group),
        }
    }

    fn stay(&mut self, core: &Core, streams: &[Rc<Stream>]) {
        for stream in streams {
            let object = &stream.object;
            object.set(Flag::SUPERSEDED);
            if !core.pause.is_fenced(&object.service().instance) {
                self.moved.stayed += 1;
            }
            // The attempt may have written, or ended the stream.
            core.go_on(object);
        }
    }

    /// The streams that are to drain, of those that were visited since the last call.
    pub(super) fn take_drains(&mut self) -> Vec<Id> {
        std::mem::take(&mut self.drains)
    }

    /// The snapshot is applied: what has other code now is not paused any more. Returns the shortest time that a stream
    /// has for its drain, nanoseconds, if one is to drain.
    pub(super) fn finish(self, core: &Core) -> Option<u64> {
        self.log(core);
        core.requeue_deferred();
        self.shortest
    }

    /// One line for all streams, and one more if something failed.
    fn log(&self, core: &Core) {
        let Moved {
            migrated,
            stayed,
            draining,
            failed,
            ..
        } = self.moved;
        let (worker, snapshot) = (core.number, self.snapshot);
        if let Some((callback, error)) = &self.moved.reason {
            tracing::warn!(
                worker,
                snapshot,
                streams = failed,
                callback,
                reason = %error,
                "streams could not be handed over and stay with the old code; the reason is that of the first"
            );
        }
        if migrated + stayed + draining != 0 {
            tracing::info!(
                worker,
                snapshot,
                migrated,
                stayed,
                draining,
                "streams moved"
            );
        }
    }
}

/// The streams that have to move together with this one: its group. `None`: not all of them can.
fn group_to_move(
    core: &Core,
    plan: &Plan,
    stream: &Rc<Stream>,
    next: &Arc<Service>,
) -> Option<Vec<Rc<Stream>>> {
    let group = stream.object.group.borrow();
    let Some(group) = &*group else {
        return Some(vec![Rc::clone(stream)]);
    };
    if group.has_pending() {
        return None;
    }
    let mut streams = Vec::new();
    for id in group.members() {
        // A socket stays, and so does what it dialled.
        let member = core.table.stream(id)?;
        if member.object.has(Flag::ENDED) {
            continue;
        }
        match plan.fate(&member) {
            Fate::Replace(service) if Arc::ptr_eq(service, next) => streams.push(member),
            _ => return None,
        }
    }
    Some(streams)
}

/// Binds a stream to its service as the plan has it; returns until when it drains, nanoseconds, if it is to.
fn bind(core: &Core, plan: &Plan, stream: &Stream) -> Option<u64> {
    let object = &stream.object;
    let mut until = None;
    match plan.fate(stream) {
        Fate::Keep => {}
        Fate::Rebind(service) => {
            object.rebind(service);
            object.clear(Flag::SUPERSEDED);
            if !object.has(Flag::CONNECTING) {
                arm(core, stream);
            }
        }
        Fate::Replace(_) => object.set(Flag::SUPERSEDED),
        Fate::Remove => until = Some(core.deadline_in(object.service().grace)),
    }
    let leaves_by = plan.leaves_by(object.instance());
    let until = until.into_iter().chain(leaves_by).min()?;
    let before = object.drain_until.get();
    if before == 0 || until < before {
        object.drain_until.set(until.max(1));
        if !object.has(Flag::CONNECTING) {
            arm(core, stream);
        }
    }
    Some(until)
}

/// Binds a stream that has opened after the snapshot; returns whether it is to drain at once.
pub(super) fn place(core: &Core, plan: &Plan, stream: &Stream) -> bool {
    !stream.object.has(Flag::ENDED) && bind(core, plan, stream).is_some()
}

/// Ends a stream of a fenced instance after what it has written; returns whether it would have gone on.
fn end_fenced(core: &Core, stream: &Stream) -> bool {
    if stream.object.has(Flag::CONNECTING) {
        // Its dialler is fenced too, and is not notified.
        core.remove(&stream.object);
        return true;
    }
    core.cancel_timers(&stream.object);
    let ends = !stream.is_ending();
    stream.end(Reason::Drain, true, None);
    core.go_on(&stream.object);
    ends
}
