//! Wishes: what may be asked of the daemon that changes it, and how one is carried out: a target is found, a plan is
//! made, the change is made, and undone if it fails.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_api::{FaultLine, Outcome, Verdict};
use polyport_config::{Fault, Faults, Severity};
use polyport_host::generation::Generation;

use crate::control::apply::{Applied, ApplyError, change, undo};
use crate::control::desired::DesiredState;
use crate::control::desired::derive;
use crate::control::desired::load::ValidConfig;
use crate::control::life::Life;
use crate::control::plan::view::view;
use crate::control::plan::{Plan, PlanError, plan};
use crate::control::upgrade::NewProcess;
use crate::control::upgrade::hand_over::{can_hand_over, hand_over};

/// See the module's text.
#[derive(Debug)]
pub enum Operation {
    /// Begin to serve what was checked already.
    Start(Box<ValidConfig>),
    /// Say what a reload would do.
    Plan,
    /// Read the configuration again.
    Reload {
        /// Go back unless it is confirmed within this time.
        confirm: Option<Duration>,
    },
    /// Have another process, of the executable as it is now, serve in the place of this one.
    HandOver,
    /// Take a service or an instance out of service.
    Drain {
        /// Which.
        name: String,
    },
    /// Let the generation before serve again.
    Rollback {
        /// Of which plugin.
        plugin: String,
        /// Only if this one serves still.
        failed: Option<Arc<Generation>>,
        /// Why the present one is withdrawn.
        why: String,
    },
    /// Go back to what served before a reload that nobody confirmed.
    GoBack(Box<DesiredState>),
}

impl Operation {
    /// In one word, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Plan => "plan",
            Self::Reload { .. } => "reload",
            Self::HandOver => "hand-over",
            Self::Drain { .. } => "drain",
            Self::Rollback { .. } => "rollback",
            Self::GoBack(_) => "return",
        }
    }
}

/// How a wish ended.
#[derive(Debug)]
pub struct OperationResult {
    /// For who asked.
    pub outcome: Outcome,
    /// What is in force now, if it was a change and went well.
    pub applied: Option<Applied>,
    /// Why it failed, if it was a change that was begun.
    pub fault: Option<ApplyError>,
    /// It could not be begun yet, and may be in a while.
    pub may_follow: bool,
    /// Who serves now in the place of this process.
    pub new_process: Option<NewProcess>,
}

/// Carries a wish out. A start that fails is left as it is, for the stop that follows it.
pub async fn execute(
    life: &Life,
    operation: Operation,
    id: u64,
    interrupted: &Cell<bool>,
) -> OperationResult {
    let begun = Instant::now();
    let mut ended = dispatch(life, operation, interrupted).await;
    ended.outcome.id = id;
    ended.outcome.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    ended
}

async fn dispatch(life: &Life, operation: Operation, interrupted: &Cell<bool>) -> OperationResult {
    match &operation {
        Operation::Reload { confirm: Some(_) } if life.executable.has_changed() => {
            let reason = "the executable has changed, and a hand-over to it cannot be taken back: reload without --confirm";
            over(outcome(Verdict::Refused, reason.to_owned()))
        }
        Operation::Reload { .. } if life.executable.has_changed() => {
            hand_over_to_new(life, interrupted).await
        }
        Operation::HandOver => hand_over_to_new(life, interrupted).await,
        _ => change_here(life, operation, interrupted).await,
    }
}

/// A change of what this process serves, or its plan.
async fn change_here(
    life: &Life,
    operation: Operation,
    interrupted: &Cell<bool>,
) -> OperationResult {
    let cold = matches!(operation, Operation::Start(_));
    let plan_only = matches!(operation, Operation::Plan);
    let found = derive::of(life, operation, interrupted).await;
    let (desired, warnings) = match found {
        Ok(found) => found,
        Err(outcome) => return over(*outcome),
    };
    let faults: Vec<FaultLine> = warnings.iter().map(line).collect();
    let retiring = life.retiring.borrow().clone();
    let initial_config = life.initial_config.get().map(Arc::as_ref);
    let plan = match plan(&life.state(), &retiring, &desired) {
        Ok(plan) => plan,
        Err(why_not) => {
            let outcome = outcome(Verdict::Failed, why_not.to_string());
            return OperationResult {
                may_follow: matches!(why_not, PlanError::Leaves { .. }),
                ..over(Outcome { faults, ..outcome })
            };
        }
    };
    let view = view(&life.state(), &desired, &plan, initial_config);
    let shown = Some(view.clone());
    if plan_only {
        let mut reason = summary(&view);
        if life.executable.has_changed() {
            reason.push_str("; a reload hands over to the executable, which has changed");
        }
        let outcome = outcome(Verdict::Planned, reason);
        return over(Outcome {
            faults,
            plan: shown,
            ..outcome
        });
    }
    if !cold && !view.changes() {
        let outcome = outcome(Verdict::Unchanged, summary(&view));
        return over(Outcome {
            faults,
            plan: shown,
            ..outcome
        });
    }
    let reason = summary(&view);
    match make(life, desired, &plan, cold, interrupted).await {
        Ok(applied) => OperationResult {
            outcome: Outcome {
                faults,
                plan: shown,
                ..outcome(Verdict::Applied, reason)
            },
            applied: Some(applied),
            fault: None,
            may_follow: false,
            new_process: None,
        },
        Err(fault) => OperationResult {
            outcome: Outcome {
                faults,
                plan: shown,
                ..outcome(Verdict::Failed, fault.to_string())
            },
            applied: None,
            fault: Some(fault),
            may_follow: false,
            new_process: None,
        },
    }
}

/// Makes the change; undoes it if it fails, unless it was the start.
async fn make(
    life: &Life,
    desired: DesiredState,
    plan: &Plan,
    cold: bool,
    interrupted: &Cell<bool>,
) -> Result<Applied, ApplyError> {
    // Large, and not on the data path: on the heap.
    let changing = Box::pin(change(life, desired, plan, cold, interrupted));
    let changed = changing.await;
    if changed.is_err() && !cold {
        undo(life).await;
    }
    changed
}

fn over(outcome: Outcome) -> OperationResult {
    OperationResult {
        outcome,
        applied: None,
        fault: None,
        may_follow: false,
        new_process: None,
    }
}

/// Hands over to another process; it reads the configuration and all else for itself.
async fn hand_over_to_new(life: &Life, interrupted: &Cell<bool>) -> OperationResult {
    if let Err(reason) = can_hand_over(life) {
        return over(outcome(Verdict::Refused, reason));
    }
    // Large, and not on the data path: on the heap.
    let handing = Box::pin(hand_over(life, interrupted));
    match handing.await {
        Ok(new_process) => {
            let reason = format!("handed over to process {}", new_process.pid());
            OperationResult {
                new_process: Some(new_process),
                ..over(outcome(Verdict::Applied, reason))
            }
        }
        Err(reason) => over(outcome(
            Verdict::Failed,
            format!("{reason}; this process serves on"),
        )),
    }
}

pub(super) fn outcome(verdict: Verdict, reason: String) -> Outcome {
    Outcome {
        id: 0,
        verdict,
        reason,
        faults: Vec::new(),
        plan: None,
        milliseconds: 0,
        confirm_within_seconds: None,
    }
}

/// A plan in one sentence.
fn summary(plan: &polyport_api::Plan) -> String {
    let counts = plan.counts();
    let mut text = if counts.is_empty() {
        "nothing to change".to_owned()
    } else {
        counts.join(", ")
    };
    if !plan.restart.is_empty() {
        let keys: Vec<&str> = plan.restart.iter().map(|one| one.key.as_str()).collect();
        text.push_str("; waits for a restart: ");
        text.push_str(&keys.join(", "));
    }
    text
}

/// The first fault, and how many more there are.
#[must_use]
pub fn first(faults: &Faults) -> String {
    let mut errors = faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error);
    let Some(first) = errors.next() else {
        return "the configuration is bad".to_owned();
    };
    match errors.count() {
        0 => format!("{}: {}", first.position, first.message),
        more => format!("{}: {} (and {more} more)", first.position, first.message),
    }
}

/// As the admin socket tells it.
pub(super) fn line(fault: &Fault) -> FaultLine {
    FaultLine {
        error: fault.severity == Severity::Error,
        place: fault.position.to_string(),
        message: fault.message.clone(),
        help: fault.help.clone().unwrap_or_default(),
    }
}

/// Logs all faults.
pub(super) fn tell(faults: &Faults) {
    for fault in faults.iter() {
        match fault.severity {
            Severity::Warning => warn(fault),
            Severity::Error => tracing::error!(
                place = %fault.position,
                help = fault.help.as_deref().unwrap_or_default(),
                "configuration: {}", fault.message
            ),
        }
    }
    tracing::error!(faults = faults.len(), "configuration is bad");
}

/// Logs a warning.
pub fn warn(fault: &Fault) {
    let help = fault.help.as_deref().unwrap_or_default();
    tracing::warn!(place = %fault.position, help, "configuration: {}", fault.message);
}
