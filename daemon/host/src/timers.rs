//! The timers that an instance sets for itself. Workers have those of streams, sockets and flows.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::host_api::HookApi;
use crate::status::HostError;

/// Most timers that an instance may have.
const TIMERS_MAX: usize = 1024;
/// Least period: a shorter one would leave the instance's thread no time for anything else.
const PERIOD_MIN: Duration = Duration::from_millis(1);

/// See the module's text. Only the hook thread uses them.
#[derive(Default)]
pub(crate) struct Timers(RefCell<Vec<Timer>>);

struct Timer {
    key: u32,
    at: Instant,
    period: Option<Duration>,
}

impl Timers {
    /// When the next one is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.borrow().iter().map(|timer| timer.at).min()
    }

    /// Takes the key of the timer that has been due for longest, if one is due; a periodic one is set again.
    pub(crate) fn due(&self, now: Instant) -> Option<u32> {
        let mut timers = self.0.borrow_mut();
        let (place, timer) = timers
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, timer)| timer.at)
            .filter(|(_, timer)| timer.at <= now)?;
        let key = timer.key;
        match timer.period {
            Some(period) => timer.at = now + period,
            None => drop(timers.swap_remove(place)),
        }
        Some(key)
    }
}

impl HookApi for Timers {
    fn timer_set(
        &self,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError> {
        let mut timers = self.0.borrow_mut();
        timers.retain(|timer| timer.key != key);
        if timers.len() >= TIMERS_MAX {
            return Err(HostError::Full);
        }
        let at = Instant::now()
            .checked_add(after)
            .ok_or(HostError::Invalid)?;
        let period = period.map(|period| period.max(PERIOD_MIN));
        timers.push(Timer { key, at, period });
        Ok(())
    }

    fn timer_cancel(&self, key: u32) {
        self.0.borrow_mut().retain(|timer| timer.key != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_are_fast_do_not_starve_others() {
        let timers = Timers::default();
        timers
            .timer_set(1, Duration::ZERO, Some(Duration::from_nanos(1)))
            .unwrap();
        timers.timer_set(2, Duration::ZERO, None).unwrap();
        // The thread is always late: the fast timer is due again at each call.
        let mut now = Instant::now();
        let mut next = || {
            now += Duration::from_millis(5);
            timers.due(now)
        };
        assert_eq!([next(), next(), next()], [Some(1), Some(2), Some(1)]);
    }

    #[test]
    fn timers_have_a_least_period_and_are_not_due_early() {
        let timers = Timers::default();
        let fast = Some(Duration::from_nanos(1));
        timers.timer_set(1, Duration::ZERO, fast).unwrap();
        let now = Instant::now();
        assert_eq!(timers.due(now), Some(1));
        assert_eq!(timers.due(now + Duration::from_micros(999)), None);
        assert_eq!(timers.next(), Some(now + Duration::from_millis(1)));
        assert_eq!(timers.due(now + Duration::from_millis(1)), Some(1));
    }
}
