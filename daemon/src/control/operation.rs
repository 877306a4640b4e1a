//! Operations: everything that changes the daemon on request. Each finds the desired state, makes a plan and applies
//! it; one that fails is rolled back.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_api::{FaultLine, Outcome, Verdict};
use polyport_config::Fault;
use polyport_host::generation::Generation;

use super::apply::{Applied, ApplyError, Mode, apply};
use super::desired::faults::{fault_line, log_faults, log_warning, summary};
use super::desired::load::{ValidConfig, ValidationCache, validate};
use super::desired::{DesiredState, derive};
use super::plan::view::view;
use super::plan::{PlanError, plan};
use super::process::Context;
use super::upgrade::NewProcess;
use super::upgrade::hand_over::{HandOver, can_hand_over};
use polyport_common::tasks;

/// How often a validation that runs is checked for an interrupt.
const INTERRUPT_POLL: Duration = Duration::from_millis(50);

/// See the module's text.
#[derive(Debug)]
pub enum Operation {
    /// Serve what was validated already.
    Start(Box<ValidConfig>),
    /// Describe what a reload would do.
    Plan,
    /// Read the configuration again.
    Reload {
        /// Return to the present state unless the reload is confirmed within this time.
        confirm: Option<Duration>,
    },
    /// Replace this process by one of the executable as it is now.
    HandOver,
    /// Take a service or an instance out of service.
    Drain {
        /// Its name.
        name: String,
    },
    /// Let the previous generation of a plugin serve again.
    Rollback {
        /// Name of the plugin.
        plugin: String,
        /// Only if this generation still serves.
        failed: Option<Arc<Generation>>,
        /// Why the present generation is withdrawn.
        why: String,
    },
    /// Return to what ran before a reload that was not confirmed.
    Return(Box<DesiredState>),
}

/// How an operation ended.
#[derive(Debug)]
pub struct OperationResult {
    /// For the requester.
    pub outcome: Outcome,
    /// What was put in force, if the operation was a change and succeeded.
    pub applied: Option<Applied>,
    /// Why a change that was begun failed.
    pub error: Option<ApplyError>,
    /// The operation could not begin yet, and may be tried again.
    pub retry: bool,
    /// The process that serves now in place of this one.
    pub new_process: Option<NewProcess>,
}

impl Operation {
    /// One word for the log.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Plan => "plan",
            Self::Reload { .. } => "reload",
            Self::HandOver => "hand-over",
            Self::Drain { .. } => "drain",
            Self::Rollback { .. } => "rollback",
            Self::Return(_) => "return",
        }
    }
}

/// Executes an operation; `interrupted` is set when the daemon is to stop. A start that fails is not rolled back: the
/// stop that follows ends what it created.
pub async fn execute(
    context: Context<'_>,
    operation: Operation,
    id: u64,
    interrupted: &Cell<bool>,
) -> OperationResult {
    let begun = Instant::now();
    let changed = context.process.executable.has_changed();
    let mut result = match operation {
        Operation::Reload { confirm: Some(_) } if changed => {
            let reason = "the executable has changed, and a hand-over to it cannot be taken back: reload without --confirm";
            outcome(Verdict::Refused, reason.to_owned()).into()
        }
        Operation::Reload { .. } if changed => hand_over(context, interrupted).await,
        Operation::HandOver => hand_over(context, interrupted).await,
        other => change(context, other, interrupted).await,
    };
    result.outcome.id = id;
    result.outcome.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    result
}

/// A change of what this process serves, or the plan of one.
async fn change(
    context: Context<'_>,
    operation: Operation,
    interrupted: &Cell<bool>,
) -> OperationResult {
    let inventory = context.inventory;
    let mode = match operation {
        Operation::Start(_) => Mode::Start,
        _ => Mode::Change,
    };
    let plan_only = matches!(operation, Operation::Plan);
    let (desired, warnings) = match desired_state(context, operation, interrupted).await {
        Ok(found) => found,
        Err(outcome) => return (*outcome).into(),
    };
    let faults: Vec<FaultLine> = warnings.iter().map(fault_line).collect();
    let state = inventory.state();
    let plan = match plan(&state, &inventory.retiring.borrow(), &desired) {
        Ok(plan) => plan,
        Err(error) => {
            let outcome = outcome(Verdict::Failed, error.to_string());
            return OperationResult {
                retry: matches!(error, PlanError::Retiring { .. }),
                ..Outcome { faults, ..outcome }.into()
            };
        }
    };
    let initial = inventory.initial_config.get().map(Arc::as_ref);
    let view = view(&state, &desired, &plan, initial);
    drop(state);
    let mut reason = plan_summary(&view);
    let changes = view.changes();
    let ended = |verdict, reason| Outcome {
        faults,
        plan: Some(view),
        ..outcome(verdict, reason)
    };
    if plan_only {
        if context.process.executable.has_changed() {
            reason.push_str("; a reload hands over to the executable, which has changed");
        }
        return ended(Verdict::Planned, reason).into();
    }
    if mode == Mode::Change && !changes {
        return ended(Verdict::Unchanged, reason).into();
    }
    // Large, and not on the data path: on the heap.
    let applying = Box::pin(apply(context, desired, &plan, mode, interrupted));
    match applying.await {
        Ok(applied) => OperationResult {
            applied: Some(applied),
            ..ended(Verdict::Applied, reason).into()
        },
        Err(error) => {
            let ended = ended(Verdict::Failed, error.to_string());
            OperationResult {
                error: Some(error),
                ..ended.into()
            }
        }
    }
}

/// The desired state of an operation, and the warnings about it.
async fn desired_state(
    context: Context<'_>,
    operation: Operation,
    interrupted: &Cell<bool>,
) -> Result<(DesiredState, Vec<Fault>), Box<Outcome>> {
    let inventory = context.inventory;
    let derived = match operation {
        Operation::Start(valid) => return Ok((valid.desired, valid.warnings)),
        Operation::Plan | Operation::Reload { .. } | Operation::HandOver => {
            return read(context, interrupted).await;
        }
        Operation::Drain { name } => derive::without(inventory, &name),
        Operation::Rollback {
            plugin,
            failed,
            why,
        } => derive::with_previous_code(inventory, &plugin, failed.as_ref(), &why),
        Operation::Return(desired) => Ok(*desired),
    };
    match derived {
        Ok(desired) => Ok((desired, Vec::new())),
        Err(reason) => Err(Box::new(outcome(Verdict::Refused, reason))),
    }
}

/// Reads and validates the configuration, and the plugins that it names.
async fn read(
    context: Context<'_>,
    interrupted: &Cell<bool>,
) -> Result<(DesiredState, Vec<Fault>), Box<Outcome>> {
    let path = context.process.config_path.clone();
    let cache = ValidationCache::of(context.inventory);
    let failed = |reason| Box::new(outcome(Verdict::Failed, reason));
    let validated = tokio::select! {
        validated = tasks::blocking(move || validate(&path, &cache)) => validated,
        // A probe child that runs ends by its own alarm.
        () = interrupt(interrupted) => return Err(failed(ApplyError::Interrupted.to_string())),
    };
    match validated {
        Ok(Ok(valid)) => {
            valid.warnings.iter().for_each(log_warning);
            Ok((valid.desired, valid.warnings))
        }
        Ok(Err(faults)) => {
            log_faults(&faults);
            Err(Box::new(Outcome {
                faults: faults.iter().map(fault_line).collect(),
                ..outcome(Verdict::Failed, summary(&faults))
            }))
        }
        Err(error) => Err(failed(format!(
            "the configuration could not be checked: {error}"
        ))),
    }
}

async fn interrupt(interrupted: &Cell<bool>) {
    while !interrupted.get() {
        tokio::time::sleep(INTERRUPT_POLL).await;
    }
}

/// Hands over to another process, which reads the configuration and all else itself.
async fn hand_over(context: Context<'_>, interrupted: &Cell<bool>) -> OperationResult {
    let Context {
        process,
        inventory,
        plane,
    } = context;
    if let Err(reason) = can_hand_over(inventory) {
        return outcome(Verdict::Refused, reason).into();
    }
    let handing = HandOver::new(inventory, plane, &process.manager, interrupted);
    // Large, and not on the data path: on the heap.
    let handing = Box::pin(handing.run(&process.executable, process.admin.get()));
    match handing.await {
        Ok(new_process) => {
            let reason = format!("handed over to process {}", new_process.pid());
            OperationResult {
                new_process: Some(new_process),
                ..outcome(Verdict::Applied, reason).into()
            }
        }
        Err(reason) => outcome(Verdict::Failed, format!("{reason}; this process serves on")).into(),
    }
}

/// An outcome without faults, plan and number.
pub fn outcome(verdict: Verdict, reason: String) -> Outcome {
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

impl From<Outcome> for OperationResult {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            applied: None,
            error: None,
            retry: false,
            new_process: None,
        }
    }
}

/// A plan in one sentence.
fn plan_summary(plan: &polyport_api::Plan) -> String {
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
