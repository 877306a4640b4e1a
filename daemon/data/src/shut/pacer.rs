//! The pace of drains: a few begin at once, the rest in even portions over a while, so that ten thousand clients do not
//! reconnect in one instant. Idle streams go first, those with work in flight last. Only handlers that say goodbye are
//! paced: an idle stream whose handler has no `on_drain` closes as soon as the worker gets to it.

use std::collections::VecDeque;
use std::time::Duration;

use polyport_host::id::Id;

use crate::core::{Cause, Core, Work};
use crate::object::{Flag, Stream};

/// So many begin at once.
const FIRST: usize = 64;
/// Streams that close without a callback of their own, in one turn.
const SILENT: usize = 256;
/// Between two portions.
const TICK: Duration = Duration::from_millis(20);
const TICK_NANOS: u64 = 20_000_000;
/// What each queued stream adds to the time over which all begin, nanoseconds: a thousand a second.
const EACH_NANOS: u64 = 1_000_000;

/// See the module's text. Times are nanoseconds of the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Pacer {
    /// Idle streams whose handler says no goodbye.
    silent: VecDeque<Id>,
    idle: VecDeque<Id>,
    busy: VecDeque<Id>,
    /// When the last is to begin; 0: none is queued.
    by: u64,
    /// When the next portion begins; 0: none is planned.
    next: u64,
}

impl Pacer {
    /// Queues a stream; nothing begins before [`pace`](Self::pace).
    pub(crate) fn queue(&mut self, stream: &Stream) {
        let object = &stream.object;
        let is_over = object.has(Flag::ENDED.or(Flag::DRAINING));
        if is_over || !object.mark(Flag::DRAIN_QUEUED) {
            return;
        }
        if stream.is_idle() && !object.service().instance.handler().drains_streams() {
            self.silent.push_back(object.id);
        } else {
            self.put(object.id, stream.is_idle());
        }
    }

    /// Begins the queued drains: the first now, the last within half of the grace, nanoseconds.
    pub(crate) fn pace(&mut self, core: &Core, grace: u64) {
        self.begin(core, FIRST);
        self.plan(core.clock.now(), grace);
        self.go_on(core);
    }

    /// Lets queued drains begin within half of this grace, nanoseconds, without a first portion at once.
    pub(crate) fn hasten(&mut self, core: &Core, grace: u64) {
        self.plan(core.clock.now(), grace);
        self.go_on(core);
    }

    /// The next portion may be due.
    pub(crate) fn due(&mut self, core: &Core) {
        let now = core.clock.now();
        if self.next != 0 && self.next <= now {
            self.next = 0;
            self.begin(core, self.portion(now));
        }
        self.go_on(core);
    }

    /// Forgets all: everything ends now.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Begins the silent ones of this turn, and sees to it that [`due`](Self::due) is called again.
    fn go_on(&mut self, core: &Core) {
        for _ in 0..SILENT {
            let Some(id) = self.silent.pop_front() else {
                break;
            };
            begin_one(core, id);
        }
        if !self.silent.is_empty() {
            core.ready.push_next(Work::Pace);
        }
        if self.len() == 0 {
            self.by = 0;
        } else if self.next == 0 {
            self.next = core.deadline_in(TICK);
            core.after(TICK, Work::Pace);
        }
    }

    /// Begins so many drains; streams that have ended meanwhile, or go on after all, do not count.
    fn begin(&mut self, core: &Core, count: usize) {
        let mut begun = 0;
        while begun < count {
            let Some(id) = self.pop() else { return };
            begun += usize::from(begin_one(core, id));
        }
    }

    fn len(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    fn put(&mut self, id: Id, idle: bool) {
        if idle {
            self.idle.push_back(id);
        } else {
            self.busy.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<Id> {
        self.idle.pop_front().or_else(|| self.busy.pop_front())
    }

    /// Plans the queued drains to begin within half of this grace; none begins later for it than planned before.
    fn plan(&mut self, now: u64, grace: u64) {
        if self.len() == 0 {
            return;
        }
        let each = u64::try_from(self.len()).unwrap_or(u64::MAX);
        let by = now.saturating_add(each.saturating_mul(EACH_NANOS).min(grace / 2));
        self.by = if self.by == 0 { by } else { self.by.min(by) };
    }

    /// How many begin now, so that all portions until the end are even.
    fn portion(&self, now: u64) -> usize {
        let ticks = usize::try_from(self.by.saturating_sub(now) / TICK_NANOS).unwrap_or(usize::MAX);
        self.len().div_ceil(ticks.max(1))
    }
}

/// Queues the drain of a stream that still waits for it; returns whether it does.
fn begin_one(core: &Core, id: Id) -> bool {
    let queued = core
        .table
        .stream(id)
        .is_some_and(|stream| stream.object.has(Flag::DRAIN_QUEUED));
    if queued {
        core.queue(id, Cause::Drain(0));
    }
    queued
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_host::id::Kind;

    const SECOND: u64 = 1_000_000_000;

    fn id(slot: u32) -> Id {
        Id::new(Kind::Stream, 0, slot, 1)
    }

    fn filled(count: u32) -> Pacer {
        let mut pacer = Pacer::default();
        (0..count).for_each(|slot| pacer.put(id(slot), true));
        pacer
    }

    /// When each portion begins and how large it is.
    fn portions(pacer: &mut Pacer, mut now: u64) -> Vec<usize> {
        let mut all = Vec::new();
        while pacer.len() != 0 {
            now += TICK_NANOS;
            let portion = pacer.portion(now);
            all.push(portion);
            (0..portion).for_each(|_| assert!(pacer.pop().is_some()));
        }
        all
    }

    #[test]
    fn idle_ones_go_first_and_each_in_its_turn() {
        let mut pacer = Pacer::default();
        for (slot, idle) in [(1, false), (2, true), (3, false), (4, true)] {
            pacer.put(id(slot), idle);
        }
        let order: Vec<_> = std::iter::from_fn(|| pacer.pop()).collect();
        assert_eq!(order, [2, 4, 1, 3].map(id));
    }

    #[test]
    fn many_are_pacer_evenly_over_a_thousand_a_second() {
        let mut pacer = filled(10_000);
        pacer.plan(7, 60 * SECOND);
        let all = portions(&mut pacer, 7);
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!((490..=510).contains(&all.len()), "{} portions", all.len());
        assert!(*most <= 21 && *least >= 1, "{least} to {most}");
    }

    #[test]
    fn the_last_begins_within_half_of_the_grace_though_others_wait_for_longer() {
        let mut pacer = filled(10_000);
        pacer.plan(SECOND, 60 * SECOND);
        pacer.plan(SECOND, 2 * SECOND);
        assert_eq!(pacer.by, 2 * SECOND);
        pacer.plan(SECOND, 60 * SECOND);
        assert_eq!(pacer.by, 2 * SECOND);
        assert!(portions(&mut pacer, SECOND).len() <= 50);
    }

    #[test]
    fn without_grace_all_begin_at_once() {
        let mut pacer = filled(500);
        pacer.plan(SECOND, 0);
        assert_eq!(portions(&mut pacer, SECOND), [500]);
    }
}
