//! A plugin's timers on one object. They end with it.

use std::time::Duration;

use crate::time::TimerKey;

/// Most timers on one object.
const TIMERS_MAX: usize = 1024;
/// The shortest period; a shorter one would leave time for nothing else.
const SHORTEST: Duration = Duration::from_millis(1);

#[derive(Debug)]
struct Timer {
    key: u32,
    /// Which setting of this key it is: an entry of an earlier setting that comes late is ignored.
    setting: u32,
    entry: TimerKey,
    period: Option<Duration>,
}

/// None takes no memory.
#[derive(Debug, Default)]
pub(crate) struct PluginTimers(Vec<Timer>);

impl PluginTimers {
    /// Is there room for so many more?
    pub(crate) fn has_room(&self, more: usize) -> bool {
        self.0.len() + more <= TIMERS_MAX
    }

    /// Notes a timer whose entry stands in the worker's timers. One of the same key was cancelled before.
    pub(crate) fn insert(
        &mut self,
        key: u32,
        setting: u32,
        entry: TimerKey,
        period: Option<Duration>,
    ) {
        self.0.push(Timer {
            key,
            setting,
            entry,
            period: period.map(|period| period.max(SHORTEST)),
        });
    }

    /// Forgets a timer; its entry is to be removed.
    pub(crate) fn remove(&mut self, key: u32) -> Option<TimerKey> {
        let place = self.0.iter().position(|timer| timer.key == key)?;
        Some(self.0.swap_remove(place).entry)
    }

    /// Forgets all; their entries are to be removed.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = TimerKey> + '_ {
        self.0.drain(..).map(|timer| timer.entry)
    }

    /// The entry of a timer has come. Returns whether the handler is to be notified; `renew` makes the next entry of a
    /// periodic timer.
    pub(crate) fn fired(
        &mut self,
        key: u32,
        setting: u32,
        renew: impl FnOnce(Duration) -> TimerKey,
    ) -> bool {
        let is_it = |timer: &Timer| timer.key == key && timer.setting == setting;
        let Some(place) = self.0.iter().position(is_it) else {
            return false;
        };
        match self.0.get_mut(place) {
            Some(Timer {
                entry,
                period: Some(period),
                ..
            }) => *entry = renew(*period),
            _ => drop(self.0.swap_remove(place)),
        }
        true
    }
}
