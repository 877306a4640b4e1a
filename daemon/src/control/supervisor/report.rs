//! What follows when a wish was carried out: instances are seen off, code is tried or given up, and all who should
//! know are told.

use std::sync::Arc;

use polyport_api::{Outcome, Verdict};

use crate::control::apply::Applied;
use crate::control::auto_rollback::Canary;
use crate::control::desired::DesiredState;
use crate::control::running::retire::{Terms, retire};
use crate::control::supervisor::queue::QueuedOperation;
use crate::control::supervisor::{BY_CANARY, Supervisor};
use crate::log;

impl Supervisor<'_> {
    /// What follows from a change that is in force.
    pub(super) fn committed(
        &mut self,
        queued: &QueuedOperation,
        before: Option<&DesiredState>,
        applied: Applied,
    ) {
        let state = self.life.state();
        let Some(config) = &state.config else { return };
        let daemon = &config.daemon;
        self.budget.set(daemon.stop_timeout);
        log::set_level(config.log.level);
        for retiring in applied.left {
            let terms = Terms {
                hook_timeout: daemon.hook_timeout,
                drain_timeout: daemon.drain_timeout,
                store: self.life.store.borrow().clone(),
            };
            self.retirements.retire(retiring, terms);
        }
        for (old, new) in applied.replaced_code {
            self.canaries
                .retain(|canary| !Arc::ptr_eq(canary.generation(), &old));
            let mut code = self.life.code.borrow_mut();
            if let Some(why) = &queued.withdraws {
                tracing::warn!(
                    plugin = old.name,
                    generation = old.number,
                    serves = new.number,
                    reason = why,
                    "generation withdrawn"
                );
                code.withdraw(&old, why, &new);
                if queued.by == BY_CANARY {
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
            self.canaries.extend(
                daemon
                    .rollback
                    .as_ref()
                    .map(|terms| Canary::new(new, terms)),
            );
        }
        match &queued.drains {
            Some(name) => self.drained.push(name.clone()),
            None if queued.what == "reload" => self.drained.clear(),
            None => {
                if let Some(drained) = &queued.drained_before {
                    self.drained.clone_from(drained);
                }
            }
        }
    }

    /// Says how a wish ended: in the log and to the service manager.
    pub(super) fn report(&self, queued: &QueuedOperation, outcome: &Outcome) {
        let (id, what, by, reason) = (outcome.id, queued.what, &queued.by, &outcome.reason);
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
            let streams = self.life.state().services.len();
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
            self.retirements.beside(retire(given_up));
        }
    }
}
