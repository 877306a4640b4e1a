//! Streams that are told to drain: a few at once, the rest in even portions over a while, so that ten thousand
//! clients do not all come back in one instant. Idle ones go first, those with work in flight last.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use polyport_host::id::Id;

use super::Engine;
use super::stream::{Flag, Stream};
use crate::worker::Due;

/// So many begin at once.
const FIRST: usize = 64;
/// Between two portions.
const TICK: Duration = Duration::from_millis(20);
const TICK_NANOS: u64 = 20_000_000;
/// What each stream that waits adds to the while that all are spread over, nanoseconds: a thousand a second.
const EACH_NANOS: u64 = 1_000_000;

/// Those that wait for their turn.
#[derive(Debug, Default)]
pub(super) struct Spread {
    idle: VecDeque<Id>,
    busy: VecDeque<Id>,
    /// When the last is to begin, nanoseconds of the monotonic clock; 0: nobody waits.
    by: u64,
    /// An entry for the next portion stands in the queue of deadlines.
    ticks: bool,
}

impl Spread {
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

    fn next(&mut self) -> Option<Id> {
        self.idle.pop_front().or_else(|| self.busy.pop_front())
    }

    /// Those that wait are to begin within half of this grace; nobody who waits already begins later for it.
    fn plan(&mut self, now: u64, grace: u64) {
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

impl Engine {
    /// Puts a stream where it waits for its drain; nothing begins before [`spread_drains`](Self::spread_drains).
    pub(super) fn queue_drain(&self, stream: &Stream) {
        if !stream.has(Flag::ENDED) && !stream.has(Flag::DRAINING) && stream.mark(Flag::TO_DRAIN) {
            self.spread.borrow_mut().put(stream.id, stream.is_idle());
        }
    }

    /// As [`queue_drain`](Self::queue_drain), with an end of its own: past it the stream is closed by force. An earlier
    /// end than one before hastens it.
    pub(super) fn queue_drain_until(&self, stream: &Rc<Stream>, until: u64) {
        if stream.has(Flag::ENDED) {
            return;
        }
        let before = stream.drain_until.get();
        if before == 0 || until < before {
            stream.drain_until.set(until.max(1));
            if !stream.has(Flag::CONNECTING) {
                self.arm(stream);
            }
        }
        self.queue_drain(stream);
    }

    /// A stream that waits for its drain goes on instead; one that has begun is past that.
    pub(super) fn unqueue_drain(&self, stream: &Stream) {
        if stream.has(Flag::TO_DRAIN) {
            // Its place in the queue is passed over.
            stream.clear(Flag::TO_DRAIN);
            stream.drain_until.set(0);
        }
    }

    /// Begins the drains of those that were queued: the first now, the last within half of the grace, nanoseconds.
    pub(super) fn spread_drains(&self, grace: u64) {
        self.begin_drains(FIRST);
        let mut spread = self.spread.borrow_mut();
        if spread.len() == 0 {
            spread.by = 0;
            return;
        }
        spread.plan(self.clock.now(), grace);
        if !std::mem::replace(&mut spread.ticks, true) {
            self.timers.add(Due::Drain, TICK);
        }
    }

    /// The next portion is due.
    pub(super) fn drains_due(&self) {
        let portion = {
            let mut spread = self.spread.borrow_mut();
            spread.ticks = false;
            spread.portion(self.clock.now())
        };
        self.begin_drains(portion);
        let mut spread = self.spread.borrow_mut();
        if spread.len() == 0 {
            spread.by = 0;
        } else if !std::mem::replace(&mut spread.ticks, true) {
            self.timers.add(Due::Drain, TICK);
        }
    }

    /// Begins so many drains; streams that have ended meanwhile, or go on after all, do not count.
    fn begin_drains(&self, count: usize) {
        let mut begun = 0;
        while begun < count {
            let next = self.spread.borrow_mut().next();
            let Some(id) = next else { return };
            let Some(stream) = self.table.stream(id) else {
                continue;
            };
            if stream.has(Flag::TO_DRAIN) && !self.aside_drain(&stream) {
                stream.clear(Flag::TO_DRAIN);
                self.drain_stream(&stream);
                begun += 1;
            }
        }
    }

    /// Nothing waits any more: all ends now.
    pub(super) fn forget_drains(&self) {
        let mut spread = self.spread.borrow_mut();
        let ticks = spread.ticks;
        *spread = Spread {
            ticks,
            ..Spread::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_host::id::Kind;

    const SECOND: u64 = 1_000_000_000;

    fn id(slot: u32) -> Id {
        Id::new(Kind::Stream, 0, slot, 1)
    }

    fn filled(count: u32) -> Spread {
        let mut spread = Spread::default();
        (0..count).for_each(|slot| spread.put(id(slot), true));
        spread
    }

    /// When each portion begins and how large it is.
    fn portions(spread: &mut Spread, mut now: u64) -> Vec<usize> {
        let mut all = Vec::new();
        while spread.len() != 0 {
            now += TICK_NANOS;
            let portion = spread.portion(now);
            all.push(portion);
            (0..portion).for_each(|_| assert!(spread.next().is_some()));
        }
        all
    }

    #[test]
    fn idle_ones_go_first_and_each_in_its_turn() {
        let mut spread = Spread::default();
        for (slot, idle) in [(1, false), (2, true), (3, false), (4, true)] {
            spread.put(id(slot), idle);
        }
        let order: Vec<_> = std::iter::from_fn(|| spread.next()).collect();
        assert_eq!(order, [2, 4, 1, 3].map(id));
    }

    #[test]
    fn many_are_spread_evenly_over_a_thousand_a_second() {
        let mut spread = filled(10_000);
        spread.plan(7, 60 * SECOND);
        let all = portions(&mut spread, 7);
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!((490..=510).contains(&all.len()), "{} portions", all.len());
        assert!(*most <= 21 && *least >= 1, "{least} to {most}");
    }

    #[test]
    fn the_last_begins_within_half_of_the_grace_though_others_wait_for_longer() {
        let mut spread = filled(10_000);
        spread.plan(SECOND, 60 * SECOND);
        spread.plan(SECOND, 2 * SECOND);
        assert_eq!(spread.by, 2 * SECOND);
        spread.plan(SECOND, 60 * SECOND);
        assert_eq!(spread.by, 2 * SECOND);
        assert!(portions(&mut spread, SECOND).len() <= 50);
    }

    #[test]
    fn without_grace_all_begin_at_once() {
        let mut spread = filled(500);
        spread.plan(SECOND, 0);
        assert_eq!(portions(&mut spread, SECOND), [500]);
    }
}
