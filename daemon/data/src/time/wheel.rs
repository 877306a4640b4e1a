//! A hierarchical timer wheel: six levels of 64 slots, ticks of a millisecond. Insert and cancel take constant
//! time; an entry moves down at most once for each level. An entry never comes before its time, and at most a
//! millisecond after it.
//!
//! Varghese and Lauck, "Hashed and Hierarchical Timing Wheels", 1987, scheme 7.

/// Bits of a tick that choose the slot of one level.
const LEVEL_BITS: u32 = 6;
const LEVELS: usize = 6;
const SLOTS: usize = 1 << LEVEL_BITS;
/// Ticks that an entry may be ahead: 63 of the 64 slots of the highest level, 2.1 years. In the 64th it would share a
/// slot with the present.
const SPAN: u64 = (SLOTS as u64 - 1) << (LEVEL_BITS as u64 * (LEVELS as u64 - 1));
const TICK_NANOS: u64 = 1_000_000;
/// The end of a list of entries.
const END: u32 = u32::MAX;
/// The list of entries whose time has come; the others are `level * SLOTS + slot`.
const DUE: usize = LEVELS * SLOTS;

/// A handle for cancelling. It may outlive its entry: it names that entry alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimerKey {
    index: u32,
    version: u32,
}

#[derive(Debug)]
struct Entry<T> {
    /// `None`: the entry is free, and `next` is the next free one.
    work: Option<T>,
    version: u32,
    /// The tick at which the entry is due.
    at: u64,
    list: usize,
    next: u32,
    previous: u32,
}

#[derive(Debug, Clone, Copy)]
struct List {
    first: u32,
    last: u32,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    entries: Vec<Entry<T>>,
    free: u32,
    lists: Vec<List>,
    /// For each level, which slots have entries.
    occupied: [u64; LEVELS],
    /// The tick up to which the wheel has turned.
    elapsed: u64,
}

impl<T> Wheel<T> {
    /// An empty wheel that stands at `now`, nanoseconds.
    pub(crate) fn new(now: u64) -> Self {
        let empty = List {
            first: END,
            last: END,
        };
        Self {
            entries: Vec::new(),
            free: END,
            lists: vec![empty; DUE + 1],
            occupied: [0; LEVELS],
            elapsed: now / TICK_NANOS,
        }
    }

    /// Adds an entry that is due at `at`, nanoseconds; a time beyond the wheel's span counts as its end.
    pub(crate) fn insert(&mut self, at: u64, work: T) -> TimerKey {
        let at = at
            .div_ceil(TICK_NANOS)
            .min(self.elapsed.saturating_add(SPAN));
        let index = self.free;
        let version = if let Some(entry) = self.entries.get_mut(index as usize) {
            self.free = entry.next;
            entry.version = entry.version.wrapping_add(1);
            entry.work = Some(work);
            entry.at = at;
            entry.version
        } else {
            self.entries.push(Entry {
                work: Some(work),
                version: 0,
                at,
                list: DUE,
                next: END,
                previous: END,
            });
            0
        };
        let index = if index == END {
            u32::try_from(self.entries.len() - 1).unwrap_or(END)
        } else {
            index
        };
        self.place(index);
        TimerKey { index, version }
    }

    /// Takes an entry away; nothing happens when it has come already.
    pub(crate) fn remove(&mut self, key: TimerKey) {
        let live = |entry: &&mut Entry<T>| entry.version == key.version && entry.work.is_some();
        if self
            .entries
            .get_mut(key.index as usize)
            .filter(live)
            .is_some()
        {
            self.unlink(key.index);
            drop(self.release(key.index));
        }
    }

    /// The next entry that is due at `now`, nanoseconds; the earlier tick first, within a tick in the order of insertion
    /// into its slot.
    pub(crate) fn pop(&mut self, now: u64) -> Option<T> {
        loop {
            let first = self.list(DUE).first;
            if first != END {
                self.unlink(first);
                return self.release(first);
            }
            if !self.turn(now / TICK_NANOS) {
                return None;
            }
        }
    }

    /// When [`pop`](Self::pop) should be called again, nanoseconds: not later than the next entry is due.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.list(DUE).first != END {
            return Some(self.elapsed.saturating_mul(TICK_NANOS));
        }
        let (_, _, at) = self.next_slot()?;
        Some(at.saturating_mul(TICK_NANOS))
    }

    /// Turns the wheel to the next slot that begins at or before `tick`; returns whether there was one.
    fn turn(&mut self, tick: u64) -> bool {
        match self.next_slot() {
            Some((level, slot, at)) if at <= tick => {
                self.elapsed = self.elapsed.max(at);
                self.empty_slot(level, slot);
                true
            }
            _ => {
                self.elapsed = self.elapsed.max(tick);
                false
            }
        }
    }

    /// Places the entries of a slot anew: on a lower level, or among those that are due.
    fn empty_slot(&mut self, level: usize, slot: usize) {
        loop {
            let first = self.list(level * SLOTS + slot).first;
            if first == END {
                return;
            }
            self.unlink(first);
            self.place(first);
        }
    }

    /// The occupied slot that begins first, and its tick. A slot of a lower level begins before any of a higher one.
    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        let occupied = self.occupied.iter().enumerate();
        let (level, slots) = occupied.into_iter().find(|(_, slots)| **slots != 0)?;
        let shift = LEVEL_BITS * u32::try_from(level).unwrap_or(0);
        let current = (self.elapsed >> shift) % SLOTS as u64;
        let ahead = u64::from(
            slots
                .rotate_right(u32::try_from(current).unwrap_or(0))
                .trailing_zeros(),
        );
        let at = ((self.elapsed >> shift) + ahead) << shift;
        let slot = usize::try_from((current + ahead) % SLOTS as u64).unwrap_or(0);
        Some((level, slot, at))
    }

    /// Links an entry into the list that its tick belongs to now.
    fn place(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else {
            return;
        };
        let list = if entry.at <= self.elapsed {
            DUE
        } else {
            // The highest bit in which the two ticks differ chooses the level.
            let differs = (self.elapsed ^ entry.at).ilog2() / LEVEL_BITS;
            let level = (differs as usize).min(LEVELS - 1);
            let slot = (entry.at >> (LEVEL_BITS * differs.min(5))) % SLOTS as u64;
            let slot = usize::try_from(slot).unwrap_or(0);
            if let Some(slots) = self.occupied.get_mut(level) {
                *slots |= 1 << slot;
            }
            level * SLOTS + slot
        };
        let last = self.list(list).last;
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.list = list;
            entry.next = END;
            entry.previous = last;
        }
        match self.entries.get_mut(last as usize) {
            Some(before) => before.next = index,
            None => self.list_mut(list).first = index,
        }
        self.list_mut(list).last = index;
    }

    fn unlink(&mut self, index: u32) {
        let Some(entry) = self.entries.get(index as usize) else {
            return;
        };
        let (list, next, previous) = (entry.list, entry.next, entry.previous);
        match self.entries.get_mut(previous as usize) {
            Some(before) => before.next = next,
            None => self.list_mut(list).first = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(after) => after.previous = previous,
            None => self.list_mut(list).last = previous,
        }
        if self.list(list).first == END
            && let Some(slots) = self.occupied.get_mut(list / SLOTS)
        {
            *slots &= !(1 << (list % SLOTS));
        }
    }

    /// Frees an unlinked entry.
    fn release(&mut self, index: u32) -> Option<T> {
        let free = self.free;
        let entry = self.entries.get_mut(index as usize)?;
        entry.next = free;
        self.free = index;
        entry.work.take()
    }

    fn list(&self, list: usize) -> List {
        self.lists.get(list).copied().unwrap_or(List {
            first: END,
            last: END,
        })
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a list's number is made by `place` alone"
    )]
    fn list_mut(&mut self, list: usize) -> &mut List {
        &mut self.lists[list]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const MS: u64 = TICK_NANOS;

    #[test]
    fn timers_come_in_order_and_never_early() {
        let mut wheel = Wheel::new(5);
        let times = [90_000 * MS, 3 * MS + 1, 70 * MS, 3 * MS, 5_000 * MS];
        for at in times {
            wheel.insert(at, at);
        }
        assert_eq!(wheel.pop(2 * MS), None);
        assert_eq!(wheel.pop(3 * MS), Some(3 * MS));
        assert_eq!(wheel.pop(3 * MS), None);
        assert_eq!(wheel.pop(100_000 * MS), Some(3 * MS + 1));
        assert_eq!(wheel.pop(100_000 * MS), Some(70 * MS));
        assert_eq!(wheel.pop(100_000 * MS), Some(5_000 * MS));
        assert_eq!(wheel.pop(100_000 * MS), Some(90_000 * MS));
        assert_eq!((wheel.pop(u64::MAX), wheel.next()), (None, None));
    }

    #[test]
    fn a_key_of_an_entry_that_has_come_cancels_nothing() {
        let mut wheel = Wheel::new(0);
        let first = wheel.insert(MS, 'a');
        assert_eq!(wheel.pop(MS), Some('a'));
        wheel.insert(2 * MS, 'b');
        wheel.remove(first);
        assert_eq!(wheel.pop(2 * MS), Some('b'));
    }

    #[test]
    fn times_beyond_the_span_and_past_ones_are_taken() {
        let mut wheel = Wheel::new(1_000 * MS);
        wheel.insert(u64::MAX, 'z');
        wheel.insert(0, 'a');
        assert_eq!(wheel.pop(1_000 * MS), Some('a'));
        assert_eq!(wheel.pop(1_000 * MS), None);
        assert!(wheel.next().is_some_and(|at| at > 1_000 * MS));
    }

    proptest! {
        /// Against a sorted map: the same entries come at the same steps, and a worker that sleeps until `next` is never
        /// late by more than a tick.
        #[test]
        fn a_wheel_is_a_sorted_map(
            steps in prop::collection::vec((0_u64..200_000_000_000, any::<bool>(), 0_u64..40_000_000_000), 1..60)
        ) {
            let mut now = 777 * MS + 5;
            let mut wheel = Wheel::new(now);
            let mut model: BTreeMap<(u64, usize), TimerKey> = BTreeMap::new();
            for (number, (after, cancels, sleeps)) in steps.into_iter().enumerate() {
                let at = now + after;
                let key = wheel.insert(at, number);
                model.insert((at.div_ceil(MS), number), key);
                if cancels && let Some((entry, key)) = model.pop_last() {
                    wheel.remove(key);
                    prop_assert!(entry.0 >= now / MS);
                }
                let until = now + sleeps;
                while let Some(next) = wheel.next().filter(|next| *next <= until) {
                    now = now.max(next);
                    while let Some(came) = wheel.pop(now) {
                        let found = model.keys().copied().find(|entry| entry.1 == came);
                        prop_assert!(found.is_some_and(|entry| entry.0 == now / MS || entry.0 * MS <= now));
                        model.remove(&found.unwrap());
                    }
                    let first = model.keys().next().copied();
                    prop_assert!(first.is_none_or(|entry| entry.0 > now / MS));
                }
                now = until;
            }
            while let Some(came) = wheel.pop(u64::MAX / 2) {
                prop_assert!(model.keys().any(|entry| entry.1 == came));
                model.retain(|entry, _| entry.1 != came);
            }
            prop_assert!(model.is_empty());
        }
    }
}
