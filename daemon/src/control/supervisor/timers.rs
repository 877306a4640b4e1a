//! What the supervisor does by time: the watchdog, health checks, canaries, the return of unconfirmed reloads, waiting
//! drains, and the debouncing of reload signals.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::hooks::Hook;

use super::queue::QueuedOperation;
use super::{BY_CANARY, Supervisor};
use crate::control::auto_rollback::{CanaryVerdict, Confirmation};
use crate::control::operation::Operation;
use crate::control::running::InstanceHandle;
use crate::control::running::instance::log_instance;
use crate::control::service_manager::ServiceManager;

/// Interval of the timer while there is a canary, a confirmation or a waiting drain.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// Interval of health checks.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of health checks while there is a canary.
const HEALTH_INTERVAL_CANARY: Duration = Duration::from_secs(1);
/// When a return that could not begin is tried again.
const RETURN_RETRY: Duration = Duration::from_secs(2);
/// A reload signal this soon after the last change is debounced.
const RECENT_CHANGE: Duration = Duration::from_secs(1);
/// The reload begins after this time without a further signal,
const DEBOUNCE: Duration = Duration::from_millis(100);
/// but at the latest after this time.
const DEBOUNCE_MAX: Duration = Duration::from_secs(5);

/// When what is due.
#[derive(Debug)]
pub(super) struct Timers {
    watchdog: Option<Duration>,
    alive: Instant,
    health: Instant,
    tick: Instant,
}

impl Timers {
    pub(super) fn new(manager: &ServiceManager) -> Self {
        let now = Instant::now();
        Self {
            watchdog: manager.watchdog_interval(),
            alive: now,
            health: now + HEALTH_INTERVAL_CANARY,
            tick: now,
        }
    }

    /// When the supervisor wakes next.
    pub(super) fn next(&self, polls: bool, debounce: Option<&ReloadDebounce>) -> Instant {
        let reload = debounce.and_then(ReloadDebounce::due);
        let watchdog = self.watchdog.map(|interval| self.alive + interval);
        let poll = polls.then(|| self.tick + POLL_INTERVAL);
        let others = [reload, watchdog, poll];
        others.into_iter().flatten().fold(self.health, Instant::min)
    }
}

/// Merges reload signals that follow each other closely into one reload.
#[derive(Debug, Default)]
pub(super) struct ReloadDebounce {
    /// The first and the last signal since the last reload.
    requested: Option<(Instant, Instant)>,
    /// When the last change ended.
    changed: Option<Instant>,
}

impl ReloadDebounce {
    /// Records a signal.
    pub(super) fn request(&mut self) {
        let now = Instant::now();
        let first = self.requested.map_or(now, |(first, _)| first);
        self.requested = Some((first, now));
    }

    /// Records the end of a change.
    pub(super) fn note_change(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// When the reload is to begin.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.requested?;
        let recent = |changed| first < changed + RECENT_CHANGE;
        Some(if self.changed.is_some_and(recent) {
            (last + DEBOUNCE).min(first + DEBOUNCE_MAX)
        } else {
            first
        })
    }

    /// Returns whether a reload is to begin now, for all signals so far.
    pub(super) fn take(&mut self) -> bool {
        let is_due = self.due().is_some_and(|due| due <= Instant::now());
        if is_due {
            self.requested = None;
        }
        is_due
    }
}

impl Supervisor<'_> {
    /// Returns whether the timer runs at [`POLL_INTERVAL`].
    pub(super) fn polls(&self) -> bool {
        !self.canaries.is_empty() || !self.waiters.is_empty() || self.confirmation.is_some()
    }

    /// Does what is due.
    pub(super) fn on_timer(&mut self) {
        let now = Instant::now();
        self.timers.tick = now;
        if let Some(interval) = self.timers.watchdog
            && now >= self.timers.alive + interval
        {
            self.timers.alive = now;
            self.notify_watchdog();
        }
        if now >= self.timers.health {
            let interval = if self.canaries.is_empty() {
                HEALTH_INTERVAL
            } else {
                HEALTH_INTERVAL_CANARY
            };
            self.timers.health = now + interval;
            self.check_health();
        }
        self.check_canaries();
        self.return_unconfirmed();
        self.answer_drains();
    }

    /// Undoes a reload that was not confirmed in time, after the present operation.
    fn return_unconfirmed(&mut self) {
        if self.busy {
            return;
        }
        let Some(pending) = self.confirmation.take_if(|pending| pending.is_due()) else {
            return;
        };
        tracing::warn!("nobody confirmed the last reload: it is undone");
        let previous = pending.previous.copy();
        let operation = Operation::Return(Box::new(pending.previous));
        let mut queued = QueuedOperation::new(operation, "no confirmation");
        queued.drained_before = Some(pending.drained);
        queued.previous = previous;
        self.enqueue(queued);
    }

    /// Schedules another attempt of a return that could not begin yet.
    pub(super) fn retry_return(&mut self, queued: &mut QueuedOperation) {
        if let (Some(previous), Some(drained)) =
            (queued.previous.take(), queued.drained_before.take())
        {
            self.confirmation = Some(Confirmation::new(RETURN_RETRY, previous, drained));
        }
    }

    /// Notifies the watchdog of the service manager, unless every worker is stuck in a callback.
    fn notify_watchdog(&self) {
        if self.context.plane.is_stuck() {
            tracing::error!(
                "every worker is stuck in a callback: the service manager is not told that the daemon lives"
            );
        } else {
            self.context.process.manager.alive();
        }
    }

    /// Withdraws code that failed as a canary.
    fn check_canaries(&mut self) {
        let state = self.context.inventory.state();
        let mut failed = Vec::new();
        self.canaries.retain(|canary| {
            let verdict = canary.verdict(&state);
            if let CanaryVerdict::Failed(why) = &verdict {
                failed.push((Arc::clone(&canary.generation), why.clone()));
            }
            verdict == CanaryVerdict::Open
        });
        for (generation, why) in failed {
            let operation = Operation::Rollback {
                plugin: generation.name.clone(),
                failed: Some(generation),
                why,
            };
            self.enqueue(QueuedOperation::new(operation, BY_CANARY));
        }
    }

    /// Calls the health hooks beside the supervisor; the results are recorded in the handles.
    fn check_health(&mut self) {
        if self.busy || !self.health_checks.is_empty() {
            return;
        }
        let inventory = self.context.inventory;
        let state = inventory.state();
        let checked = state.instances.iter();
        let checked = checked.filter(|handle| handle.hook_thread.instance().has_health());
        let checked: Vec<Arc<InstanceHandle>> = checked.cloned().collect();
        if checked.is_empty() {
            return;
        }
        let limit = inventory.hook_timeout.get();
        let token = self.health_checks.token();
        self.retirements.start_other(async move {
            for handle in checked {
                check_health(&handle, limit).await;
            }
            drop(token);
        });
    }
}

async fn check_health(handle: &InstanceHandle, limit: Duration) {
    let result = handle.hook_thread.call(Hook::Health, limit).await;
    let was_good = handle.health.is_good() != Some(false);
    handle.health.record(result.is_ok());
    match result {
        Ok(_) if !was_good => {
            tracing::info!(instance = handle.name(), "instance is healthy again");
        }
        Err(fault) if was_good => {
            log_instance!(warn, handle, reason = %fault, "instance is not healthy");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debounce_begins_at_once_or_when_a_burst_of_signals_is_over() {
        let mut debounce = ReloadDebounce::default();
        debounce.request();
        assert!(debounce.take(), "no recent change");
        assert!(!debounce.take(), "nothing is requested");
        debounce.note_change();
        debounce.request();
        debounce.request();
        assert!(!debounce.take(), "another signal may follow");
        let due = debounce.due().unwrap();
        assert!(due <= Instant::now() + DEBOUNCE);
        if let Some((first, last)) = &mut debounce.requested {
            *first -= DEBOUNCE_MAX;
            *last -= DEBOUNCE;
        }
        assert!(debounce.take());
    }
}
