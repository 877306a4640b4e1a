//! What the desk does by the clock: the watchdog, trials of new code, health, reloads that nobody confirmed, and who
//! waits for a drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::hooks::Hook;

use crate::control::auto_rollback::CanaryVerdict;
use crate::control::desired::DesiredState;
use crate::control::operation::Operation;
use crate::control::running::state::InstanceHandle;
use crate::control::service_manager::ServiceManager;
use crate::control::supervisor::queue::QueuedOperation;
use crate::control::supervisor::{BY_CANARY, Supervisor};

/// How often is looked while somebody waits for a drain, or code is on trial.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How often instances are asked whether they are healthy, and while new code is on trial.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
const HEALTH_INTERVAL_CANARY: Duration = Duration::from_secs(1);

/// When what is due.
#[derive(Debug)]
pub(super) struct Timers {
    watchdog: Option<Duration>,
    alive: Instant,
    health: Instant,
    tick: Instant,
}

/// How long after a return that could not be made yet it is tried again.
const RETURN_RETRY: Duration = Duration::from_secs(2);
/// A reload that comes so soon after the last change waits until no signal has come for a while: a storm of them is
/// one wish.
const RECENT_CHANGE: Duration = Duration::from_secs(1);
const DEBOUNCE: Duration = Duration::from_millis(100);
/// A storm that does not end is heard after this time all the same.
const DEBOUNCE_MAX: Duration = Duration::from_secs(5);

/// Signals that ask for a reload.
#[derive(Debug, Default)]
pub(super) struct ReloadDebounce {
    /// The first and the last that no reload has answered.
    heard: Option<(Instant, Instant)>,
    /// When the last change ended.
    changed: Option<Instant>,
}

impl ReloadDebounce {
    /// One more.
    pub(super) fn receive(&mut self) {
        let now = Instant::now();
        let first = self.heard.map_or(now, |(first, _)| first);
        self.heard = Some((first, now));
    }

    /// A change has ended.
    pub(super) fn note_change(&mut self) {
        self.changed = Some(Instant::now());
    }

    /// When the reload is to begin.
    fn due(&self) -> Option<Instant> {
        let (first, last) = self.heard?;
        let recent = self
            .changed
            .is_some_and(|changed| first < changed + RECENT_CHANGE);
        Some(if recent {
            (last + DEBOUNCE).min(first + DEBOUNCE_MAX)
        } else {
            first
        })
    }

    /// Is a reload to begin now? It answers all that came.
    pub(super) fn take(&mut self) -> bool {
        let due = self.due().is_some_and(|due| due <= Instant::now());
        if due {
            self.heard = None;
        }
        due
    }
}

/// A reload that goes back unless it is confirmed.
#[derive(Debug)]
pub(super) struct Confirmation {
    until: Instant,
    /// What served before.
    pub(super) back: DesiredState,
    /// What was out of service then.
    drained: Vec<String>,
}

impl Confirmation {
    pub(super) fn new(within: Duration, back: DesiredState, drained: Vec<String>) -> Self {
        Self {
            until: Instant::now() + within,
            back,
            drained,
        }
    }

    pub(super) fn seconds_left(&self) -> u64 {
        self.until
            .saturating_duration_since(Instant::now())
            .as_secs()
    }
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

    /// When the desk is to look next.
    pub(super) fn next(&self, closely: bool, reload_debounce: Option<&ReloadDebounce>) -> Instant {
        let mut next = self.health;
        if let Some(due) = reload_debounce.and_then(ReloadDebounce::due) {
            next = next.min(due);
        }
        if let Some(interval) = self.watchdog {
            next = next.min(self.alive + interval);
        }
        if closely {
            next = next.min(self.tick + POLL_INTERVAL);
        }
        next
    }
}

impl Supervisor<'_> {
    /// Is there something to look at all the time?
    pub(super) fn waits_closely(&self) -> bool {
        !self.canaries.is_empty() || !self.waiters.is_empty() || self.confirmation.is_some()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        self.timers.tick = now;
        if let Some(interval) = self.timers.watchdog
            && now >= self.timers.alive + interval
        {
            self.timers.alive = now;
            self.notify_watchdog();
        }
        if now >= self.timers.health {
            let on_trial = !self.canaries.is_empty();
            self.timers.health = now
                + if on_trial {
                    HEALTH_INTERVAL_CANARY
                } else {
                    HEALTH_INTERVAL
                };
            self.check_health();
        }
        self.check_canaries();
        self.return_unconfirmed();
        self.answer_drains();
    }

    /// Undoes a reload that nobody confirmed in time; what runs now ends first.
    fn return_unconfirmed(&mut self) {
        let due = |pending: &mut Confirmation| Instant::now() >= pending.until;
        if self.busy.is_some() {
            return;
        }
        let Some(pending) = self.confirmation.take_if(due) else {
            return;
        };
        tracing::warn!("nobody confirmed the last reload: it is undone");
        let back = pending.back.copy();
        let mut queued =
            QueuedOperation::new(Operation::GoBack(Box::new(pending.back)), "no confirmation");
        queued.drained_before = Some(pending.drained);
        queued.back = back;
        self.enqueue(queued);
    }

    /// Going back had to wait for something: it is tried again.
    pub(super) fn retry_return(&mut self, queued: &mut QueuedOperation) {
        if let (Some(back), Some(drained)) = (queued.back.take(), queued.drained_before.take()) {
            self.confirmation = Some(Confirmation::new(RETURN_RETRY, back, drained));
        }
    }

    /// Tells the service manager that the daemon lives; not while every worker is stuck in a callback.
    fn notify_watchdog(&self) {
        let stuck = self
            .life
            .workers
            .get()
            .is_some_and(|workers| workers.are_all_stuck());
        if stuck {
            tracing::error!(
                "every worker is stuck in a callback: the service manager is not told that the daemon lives"
            );
        } else {
            self.life.manager.alive();
        }
    }

    /// Looks at code on trial; what fails it is withdrawn.
    fn check_canaries(&mut self) {
        let state = self.life.state();
        let mut failed = Vec::new();
        self.canaries.retain(|canary| match canary.look(&state) {
            CanaryVerdict::OpenListener => true,
            CanaryVerdict::Passed => false,
            CanaryVerdict::Failed(why) => {
                failed.push((Arc::clone(canary.generation()), why));
                false
            }
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

    /// Asks all instances beside the desk; they answer into their own record.
    fn check_health(&mut self) {
        if self.busy.is_some() || !self.health_checks.is_empty() {
            return;
        }
        let state = self.life.state();
        let telling = state.instances.iter();
        let telling = telling.filter(|handle| handle.hook_thread.instance().tells_health());
        let telling: Vec<Arc<InstanceHandle>> = telling.cloned().collect();
        if telling.is_empty() {
            return;
        }
        let limit = self.life.hook_timeout.get();
        let pass = self.health_checks.token();
        self.retirements.beside(async move {
            for handle in telling {
                ask(&handle, limit).await;
            }
            drop(pass);
        });
    }
}

async fn ask(handle: &InstanceHandle, limit: Duration) {
    let said = handle.hook_thread.call(Hook::Health, limit).await;
    let was_good = handle.health.is_good() != Some(false);
    handle.health.note(said.is_ok());
    let name = handle.hook_thread.instance().name();
    match said {
        Ok(_) if !was_good => tracing::info!(instance = name.instance, "instance is healthy again"),
        Err(fault) if was_good => tracing::warn!(
            instance = name.instance,
            plugin = name.plugin,
            generation = name.generation,
            reason = %fault,
            "instance is not healthy"
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_is_answered_at_once_and_a_storm_when_it_is_over() {
        let mut reload_debounce = ReloadDebounce::default();
        reload_debounce.receive();
        assert!(reload_debounce.take(), "nothing has changed lately");
        assert!(!reload_debounce.take(), "it was answered");
        reload_debounce.note_change();
        reload_debounce.receive();
        reload_debounce.receive();
        assert!(!reload_debounce.take(), "another one may follow");
        let due = reload_debounce.due().unwrap();
        assert!(due <= Instant::now() + DEBOUNCE);
        if let Some((first, last)) = &mut reload_debounce.heard {
            *first -= DEBOUNCE_MAX;
            *last -= DEBOUNCE;
        }
        assert!(reload_debounce.take());
    }
}
