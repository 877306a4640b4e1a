//! What the desk does by the clock: the watchdog, trials of new code, health, reloads that nobody confirmed, and who
//! waits for a drain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::hooks::Hook;

use super::Desk;
use super::asked::Asked;
use crate::control::manager::Manager;
use crate::control::target::Target;
use crate::control::trial::Standing;
use crate::control::wish::Wish;
use crate::control::world::{Held, World};

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

/// A reload that goes back unless it is confirmed.
#[derive(Debug)]
pub(super) struct Confirmation {
    until: Instant,
    /// What served before.
    pub(super) back: Target,
}

impl Confirmation {
    pub(super) fn new(within: Duration, back: Target) -> Self {
        Self {
            until: Instant::now() + within,
            back,
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
    pub(super) fn next(&mut self, closely: bool) -> Instant {
        let mut next = self.health;
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
        if self
            .confirmation
            .as_ref()
            .is_some_and(|pending| now >= pending.until)
            && let Some(pending) = self.confirmation.take()
        {
            tracing::warn!("nobody confirmed the last reload: it is undone");
            let wish = Wish::GoBack(Box::new(pending.back));
            self.queue.put(Asked::new(wish, "no confirmation"));
        }
        self.answer_drains();
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
                failed.push((trial.generation().name.clone(), why));
                false
            }
        });
        for (plugin, why) in failed {
            self.history.note_rollback();
            let wish = Wish::Rollback { plugin, why };
            self.queue
                .put(Asked::new(wish, "the daemon: the new code fails"));
        }
    }

    /// Asks all instances beside the desk; they answer into their own record.
    fn ask_health(&mut self) {
        if self.busy.is_some() || self.asking_health.is_held() {
            return;
        }
        let world: Arc<World> = self.life.world();
        let limit = self.life.hook_timeout.get();
        let pass = self.asking_health.pass();
        self.leavers.beside(async move {
            let asked = world
                .instances
                .iter()
                .filter(|held| held.keeper.instance().tells_health());
            for held in asked {
                ask(held, limit).await;
            }
            drop(pass);
        });
    }
}

async fn ask(held: &Held, limit: Duration) {
    let said = held.keeper.call(Hook::Health, limit).await;
    let was_good = held.health.is_good() != Some(false);
    held.health.note(said.is_ok());
    let name = held.keeper.instance().name();
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
