//! What follows an operation: replaced instances retire, new code becomes a canary, unused code is released, and the log
//! and the service manager are notified.

use polyport_api::{Outcome, Verdict};

use super::queue::QueuedOperation;
use super::{BY_CANARY, Supervisor};
use crate::control::apply::Applied;
use crate::control::auto_rollback::Canary;
use crate::control::desired::DesiredState;
use crate::control::process::Context;
use crate::control::running::retire::{RetireTerms, retire_generations};
use crate::log;

/// Completes a change that is in force.
pub(super) fn on_applied(
    supervisor: &mut Supervisor<'_>,
    queued: &QueuedOperation,
    before: Option<&DesiredState>,
    applied: Applied,
) {
    let inventory = supervisor.context.inventory;
    let state = inventory.state();
    let Some(config) = &state.config else { return };
    let daemon = &config.daemon;
    supervisor.budget.set(daemon.stop_timeout);
    log::set_level(config.log.level);
    for retiring in applied.retiring {
        let terms = RetireTerms {
            hook_timeout: daemon.hook_timeout,
            drain_timeout: daemon.drain_timeout,
            store: inventory.store.borrow().clone(),
        };
        supervisor.retirements.start(retiring, terms);
    }
    for (old, new) in applied.replaced_code {
        supervisor
            .canaries
            .retain(|canary| canary.generation.number != old.number);
        let mut code = inventory.code.borrow_mut();
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
                supervisor.history.note_rollback();
            }
            // Otherwise a return would bring the withdrawn code back.
            if let (Some(pending), Some(instead)) = (&mut supervisor.confirmation, code.of(&new)) {
                pending.previous.replace_code(&old, instead);
            }
            continue;
        }
        let instances = before.map(|before| before.instances_of(&old.name));
        code.replace(&old, &new, instances.unwrap_or_default());
        let rollback = daemon.rollback.as_ref();
        supervisor
            .canaries
            .extend(rollback.map(|config| Canary::new(new, config)));
    }
    match &queued.drains {
        Some(name) => supervisor.drained.push(name.clone()),
        None if queued.what == "reload" => supervisor.drained.clear(),
        None => {
            if let Some(drained) = &queued.drained_before {
                supervisor.drained.clone_from(drained);
            }
        }
    }
}

/// Reports an outcome to the log and to the service manager.
pub(super) fn report(context: Context<'_>, queued: &QueuedOperation, outcome: &Outcome) {
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
    let state = context.inventory.state();
    if state.number == 0 {
        // The start is not over.
        return;
    }
    let last = match what {
        "start" => String::new(),
        _ => format!("; last {what} {word}: {reason}"),
    };
    let status = format!("serving {} services{last}", state.services.len());
    context.process.manager.ready(&status);
}

/// Retires code that nothing uses. Not while an operation runs or the daemon is to stop: it may be about to use it.
pub(super) fn release_code(supervisor: &mut Supervisor<'_>, busy: bool) {
    if busy || supervisor.interrupted.get() {
        return;
    }
    let kept = supervisor.confirmation.as_ref();
    let kept = kept.map_or_else(Vec::new, |pending| pending.previous.generations());
    let released = supervisor.context.inventory.release_code(&kept);
    if !released.is_empty() {
        supervisor
            .retirements
            .start_other(retire_generations(released));
    }
}
