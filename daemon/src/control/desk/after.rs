//! What follows when a wish was carried out: instances are seen off, code is tried or given up, and all who should
//! know are told.

use std::sync::Arc;

use polyport_api::{Outcome, Verdict};

use super::asked::Asked;
use super::{BY_TRIAL, Desk};
use crate::control::change::Applied;
use crate::control::leave::{Terms, retire};
use crate::control::target::Target;
use crate::control::trial::Trial;
use crate::log;

impl Desk<'_> {
    /// What follows from a change that is in force.
    pub(super) fn settle(&mut self, asked: &Asked, before: Option<&Target>, applied: Applied) {
        let world = self.life.world();
        let Some(config) = &world.config else { return };
        let daemon = &config.daemon;
        self.budget.set(daemon.stop_timeout);
        log::set_level(config.log.level);
        for leaver in applied.left {
            let terms = Terms {
                hook_timeout: daemon.hook_timeout,
                drain_timeout: daemon.drain_timeout,
                store: self.life.store.borrow().clone(),
            };
            self.leavers.see_off(leaver, terms);
        }
        for (old, new) in applied.swapped {
            self.trials
                .retain(|trial| !Arc::ptr_eq(trial.generation(), &old));
            let mut code = self.life.code.borrow_mut();
            if let Some(why) = &asked.withdraws {
                tracing::warn!(
                    plugin = old.name,
                    generation = old.number,
                    serves = new.number,
                    reason = why,
                    "generation withdrawn"
                );
                code.withdraw(&old, why, &new);
                if asked.by == BY_TRIAL {
                    self.history.note_rollback();
                }
                // Going back would bring it back.
                if let (Some(pending), Some(instead)) = (&mut self.confirmation, code.of(&new)) {
                    pending.back.replace(&old, instead);
                }
                continue;
            }
            let instances = before.map(|before| before.instances_of(&old.name));
            code.replaced(&old, &new, instances.unwrap_or_default());
            self.trials
                .extend(daemon.rollback.as_ref().map(|terms| Trial::new(new, terms)));
        }
        match &asked.drains {
            Some(name) => self.drained.push(name.clone()),
            None if asked.what == "reload" => self.drained.clear(),
            None => {
                if let Some(drained) = &asked.drained_before {
                    self.drained.clone_from(drained);
                }
            }
        }
    }

    /// Says how a wish ended: in the log and to the service manager.
    pub(super) fn tell(&self, asked: &Asked, outcome: &Outcome) {
        let (id, what, by, reason) = (outcome.id, asked.what, &asked.by, &outcome.reason);
        let milliseconds = outcome.milliseconds;
        let word = outcome.verdict.word();
        match (what, outcome.verdict) {
            ("plan", _) => return,
            ("start", Verdict::Failed) => {}
            (_, Verdict::Failed) => {
                tracing::error!(id, asked_by = by, reason, milliseconds, "{what} {word}");
            }
            (_, Verdict::Refused) => {
                tracing::warn!(id, asked_by = by, reason, milliseconds, "{what} {word}");
            }
            ("start", _) => {}
            _ => tracing::info!(id, asked_by = by, reason, milliseconds, "{what} {word}"),
        }
        if !self.is_starting() {
            let streams = self.life.world().services.len();
            let last = match (what, outcome.verdict) {
                ("start", _) => String::new(),
                _ => format!("; last {what} {word}: {reason}"),
            };
            self.life
                .manager
                .ready(&format!("serving {streams} services{last}"));
        }
    }

    /// Gives up code that nobody needs any more.
    pub(super) fn sweep(&mut self, busy: bool) {
        if busy || self.interrupted.get() {
            // A change may be about to use some of it.
            return;
        }
        let kept = self.confirmation.as_ref();
        let kept = kept.map_or_else(Vec::new, |pending| pending.back.generations());
        let given_up = self.life.give_up(&kept);
        if !given_up.is_empty() {
            self.leavers.beside(retire(given_up));
        }
    }
}
