//! What the desk does by the clock: the watchdog, trials of new code, health, reloads that nobody confirmed, and who
//! waits for a drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::hooks::Hook;

use super::asked::Asked;
use super::{BY_TRIAL, Desk};
use crate::control::manager::Manager;
use crate::control::target::Target;
use crate::control::trial::Standing;
use crate::control::wish::Wish;
use crate::control::world::Held;

/// How often is looked while somebody waits for a drain, or code is on trial.
const CLOSE: Duration = Duration::from_millis(100);
/// How often instances are asked whether they are healthy, and while new code is on trial.
const HEALTH: Duration = Duration::from_secs(5);
const HEALTH_ON_TRIAL: Duration = Duration::from_secs(1);

/// When what is due.
#[derive(Debug)]
pub(super) struct Clock {
    watchdog: Option<Duration>,
    alive: Instant,
    health: Instant,
    tick: Instant,
}

/// How long after a return that could not be made yet it is tried again.
const AGAIN: Duration = Duration::from_secs(2);
/// A reload that comes so soon after the last change waits until no signal has come for a while: a storm of them is
/// one wish.
const SOON: Duration = Duration::from_secs(1);
const QUIET: Duration = Duration::from_millis(100);
/// A storm that does not end is heard after this time all the same.
const STORM: Duration = Duration::from_secs(5);

/// Signals that ask for a reload.
#[derive(Debug, Default)]
pub(super) struct HangUps {
    /// The first and the last that no reload has answered.
    heard: Option<(Instant, Instant)>,
    /// When the last change ended.
    changed: Option<Instant>,
}

impl HangUps {
    /// One more.
    pub(super) fn hear(&mut self) {
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
        let recent = self.changed.is_some_and(|changed| first < changed + SOON);
        Some(if recent {
            (last + QUIET).min(first + STORM)
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
    pub(super) back: Target,
    /// What was out of service then.
    drained: Vec<String>,
}

impl Confirmation {
    pub(super) fn new(within: Duration, back: Target, drained: Vec<String>) -> Self {
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

impl Clock {
    pub(super) fn new(manager: &Manager) -> Self {
        let now = Instant::now();
        Self {
            watchdog: manager.watchdog_interval(),
            alive: now,
            health: now + HEALTH_ON_TRIAL,
            tick: now,
        }
    }

    /// When the desk is to look next.
    pub(super) fn next(&self, closely: bool, hang_ups: Option<&HangUps>) -> Instant {
        let mut next = self.health;
        if let Some(due) = hang_ups.and_then(HangUps::due) {
            next = next.min(due);
        }
        if let Some(interval) = self.watchdog {
            next = next.min(self.alive + interval);
        }
        if closely {
            next = next.min(self.tick + CLOSE);
        }
        next
    }
}

impl Desk<'_> {
    /// Is there something to look at all the time?
    pub(super) fn waits_closely(&self) -> bool {
        !self.trials.is_empty() || !self.waiting.is_empty() || self.confirmation.is_some()
    }

    /// Does what is due.
    pub(super) fn tick(&mut self) {
        let now = Instant::now();
        self.clock.tick = now;
        if let Some(interval) = self.clock.watchdog
            && now >= self.clock.alive + interval
        {
            self.clock.alive = now;
            self.feed();
        }
        if now >= self.clock.health {
            let on_trial = !self.trials.is_empty();
            self.clock.health = now + if on_trial { HEALTH_ON_TRIAL } else { HEALTH };
            self.ask_health();
        }
        self.try_code();
        self.go_back();
        self.answer_drains();
    }

    /// Undoes a reload that nobody confirmed in time; what runs now ends first.
    fn go_back(&mut self) {
        let due = |pending: &mut Confirmation| Instant::now() >= pending.until;
        if self.busy.is_some() {
            return;
        }
        let Some(pending) = self.confirmation.take_if(due) else {
            return;
        };
        tracing::warn!("nobody confirmed the last reload: it is undone");
        let back = pending.back.copy();
        let mut asked = Asked::new(Wish::GoBack(Box::new(pending.back)), "no confirmation");
        asked.drained_before = Some(pending.drained);
        asked.back = back;
        self.want(asked);
    }

    /// Going back had to wait for something: it is tried again.
    pub(super) fn go_back_later(&mut self, asked: &mut Asked) {
        if let (Some(back), Some(drained)) = (asked.back.take(), asked.drained_before.take()) {
            self.confirmation = Some(Confirmation::new(AGAIN, back, drained));
        }
    }

    /// Tells the service manager that the daemon lives; not while every worker is stuck in a callback.
    fn feed(&self) {
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
    fn try_code(&mut self) {
        let world = self.life.world();
        let mut failed = Vec::new();
        self.trials.retain(|trial| match trial.look(&world) {
            Standing::Open => true,
            Standing::Passed => false,
            Standing::Failed(why) => {
                failed.push((Arc::clone(trial.generation()), why));
                false
            }
        });
        for (generation, why) in failed {
            let wish = Wish::Rollback {
                plugin: generation.name.clone(),
                failed: Some(generation),
                why,
            };
            self.want(Asked::new(wish, BY_TRIAL));
        }
    }

    /// Asks all instances beside the desk; they answer into their own record.
    fn ask_health(&mut self) {
        if self.busy.is_some() || !self.asking_health.is_empty() {
            return;
        }
        let world = self.life.world();
        let telling = world.instances.iter();
        let telling = telling.filter(|held| held.hook_thread.instance().tells_health());
        let telling: Vec<Arc<Held>> = telling.cloned().collect();
        if telling.is_empty() {
            return;
        }
        let limit = self.life.hook_timeout.get();
        let pass = self.asking_health.token();
        self.leavers.beside(async move {
            for held in telling {
                ask(&held, limit).await;
            }
            drop(pass);
        });
    }
}

async fn ask(held: &Held, limit: Duration) {
    let said = held.hook_thread.call(Hook::Health, limit).await;
    let was_good = held.health.is_good() != Some(false);
    held.health.note(said.is_ok());
    let name = held.hook_thread.instance().name();
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
        let mut hang_ups = HangUps::default();
        hang_ups.hear();
        assert!(hang_ups.take(), "nothing has changed lately");
        assert!(!hang_ups.take(), "it was answered");
        hang_ups.note_change();
        hang_ups.hear();
        hang_ups.hear();
        assert!(!hang_ups.take(), "another one may follow");
        let due = hang_ups.due().unwrap();
        assert!(due <= Instant::now() + QUIET);
        if let Some((first, last)) = &mut hang_ups.heard {
            *first -= STORM;
            *last -= QUIET;
        }
        assert!(hang_ups.take());
    }
}
