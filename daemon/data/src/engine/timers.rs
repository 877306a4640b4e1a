//! A plugin's timers on one stream, socket or flow. They end with their owner.

use std::time::Duration;

use crate::worker::{Due, TimerKey, Timers as WorkerTimers};
use polyport_host::id::Id;
use polyport_host::status::HostError;

/// Most timers on one owner.
const TIMERS_MAX: usize = 1024;
/// The shortest period; a shorter one would leave time for nothing else.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Timer {
    key: u32,
    /// In the queue of deadlines; `None`: it has come, and its owner is held.
    entry: Option<TimerKey>,
    period: Option<Duration>,
}

impl Timer {
    fn leave(self, deadlines: &WorkerTimers) {
        if let Some(entry) = self.entry {
            deadlines.remove(entry);
        }
    }
}

/// None takes no memory.
#[derive(Debug, Default)]
pub(super) struct Timers(Vec<Timer>);

impl Timers {
    /// Sets or replaces a timer.
    pub(super) fn set(
        &mut self,
        deadlines: &WorkerTimers,
        owner: Id,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError> {
        self.cancel(deadlines, key);
        if !self.have_room(1) {
            return Err(HostError::Full);
        }
        let entry = deadlines.add(Due::Timer(owner, key), after);
        self.0.push(Timer {
            key,
            entry: Some(entry),
            period: period.map(|period| period.max(SHORTEST)),
        });
        Ok(())
    }

    /// Takes a timer away, if it is there.
    pub(super) fn cancel(&mut self, deadlines: &WorkerTimers, key: u32) {
        if let Some(place) = self.0.iter().position(|timer| timer.key == key) {
            self.0.swap_remove(place).leave(deadlines);
        }
    }

    /// Is there room for so many more?
    pub(super) fn have_room(&self, more: usize) -> bool {
        self.0.len() + more <= TIMERS_MAX
    }

    /// Takes all away.
    pub(super) fn clear(&mut self, deadlines: &WorkerTimers) {
        self.0.drain(..).for_each(|timer| timer.leave(deadlines));
    }

    /// A timer's entry has come while its owner is held: it waits, and its place in the queue may be another's by now.
    pub(super) fn came(&mut self, key: u32) {
        if let Some(timer) = self.0.iter_mut().find(|timer| timer.key == key) {
            timer.entry = None;
        }
    }

    /// Has a timer's entry come, and is the timer neither gone nor set again?
    pub(super) fn waits(&self, key: u32) -> bool {
        let mut all = self.0.iter();
        all.any(|timer| timer.key == key && timer.entry.is_none())
    }

    /// A timer's entry has come: is it still wanted? A periodic one is set again.
    pub(super) fn fired(&mut self, deadlines: &WorkerTimers, owner: Id, key: u32) -> bool {
        let Some(place) = self.0.iter().position(|timer| timer.key == key) else {
            return false;
        };
        match self.0.get_mut(place) {
            Some(Timer {
                entry,
                period: Some(period),
                ..
            }) => {
                *entry = Some(deadlines.add(Due::Timer(owner, key), *period));
            }
            _ => drop(self.0.swap_remove(place)),
        }
        true
    }
}
