//! Wishes: what may be asked of the daemon that changes it, and how one is carried out: a target is found, a plan is
//! made, the change is made, and undone if it fails.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_api::{FaultLine, Outcome, Verdict};
use polyport_config::{Fault, Faults, Severity};

use super::change::{Applied, ChangeFault, change, undo};
use super::life::Life;
use super::plan::{Plan, plan};
use super::target::Target;
use super::vet::{Checked, vet};
use crate::common::tasks;

/// See the module's text.
#[derive(Debug)]
pub enum Wish {
    /// Begin to serve what was checked already.
    Start(Box<Checked>),
    /// Say what a reload would do.
    Plan,
    /// Read the configuration again.
    Reload {
        /// Go back unless it is confirmed within this time.
        confirm: Option<Duration>,
    },
    /// Take a service or an instance out of service.
    Drain {
        /// Which.
        name: String,
    },
    /// Let the generation before serve again.
    Rollback {
        /// Of which plugin.
        plugin: String,
        /// Why the present one is withdrawn.
        why: String,
    },
    /// Go back to what served before a reload that nobody confirmed.
    GoBack(Box<Target>),
}

impl Wish {
    /// In one word, for the log.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Plan => "plan",
            Self::Reload { .. } => "reload",
            Self::Drain { .. } => "drain",
            Self::Rollback { .. } => "rollback",
            Self::GoBack(_) => "return",
        }
    }
}

/// How a wish ended.
#[derive(Debug)]
pub struct Ended {
    /// For who asked.
    pub outcome: Outcome,
    /// What is in force now, if it was a change and went well.
    pub applied: Option<Applied>,
    /// Why it failed, if it was a change that was begun.
    pub fault: Option<ChangeFault>,
}

/// Carries a wish out. A start that fails is left as it is, for the stop that follows it.
pub async fn carry_out(life: &Life, wish: Wish, id: u64, interrupted: &Cell<bool>) -> Ended {
    let begun = Instant::now();
    let mut ended = fulfil(life, wish, interrupted).await;
    ended.outcome.id = id;
    ended.outcome.milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    ended
}

async fn fulfil(life: &Life, wish: Wish, interrupted: &Cell<bool>) -> Ended {
    let cold = matches!(wish, Wish::Start(_));
    let plan_only = matches!(wish, Wish::Plan);
    let found = match wish {
        Wish::Start(checked) => Ok((checked.target, checked.warnings)),
        Wish::Plan | Wish::Reload { .. } => read(life).await,
        Wish::Drain { name } => without(life, &name).map(|target| (target, Vec::new())),
        Wish::Rollback { plugin, why } => {
            earlier(life, &plugin, &why).map(|target| (target, Vec::new()))
        }
        Wish::GoBack(target) => Ok((*target, Vec::new())),
    };
    let (target, warnings) = match found {
        Ok(found) => found,
        Err(outcome) => return over(*outcome),
    };
    let faults: Vec<FaultLine> = warnings.iter().map(line).collect();
    let made = plan(&life.world(), &target, life.born.get().map(Arc::as_ref));
    let plan = match made {
        Ok(plan) => plan,
        Err(conflict) => {
            let outcome = outcome(Verdict::Failed, conflict.to_string());
            return over(Outcome { faults, ..outcome });
        }
    };
    let shown = Some(plan.shown.clone());
    if plan_only {
        let outcome = outcome(Verdict::Planned, summary(&plan.shown));
        return over(Outcome {
            faults,
            plan: shown,
            ..outcome
        });
    }
    if !cold && !plan.shown.changes() {
        let outcome = outcome(Verdict::Unchanged, summary(&plan.shown));
        return over(Outcome {
            faults,
            plan: shown,
            ..outcome
        });
    }
    let reason = summary(&plan.shown);
    match make(life, target, &plan, cold, interrupted).await {
        Ok(applied) => Ended {
            outcome: Outcome {
                faults,
                plan: shown,
                ..outcome(Verdict::Applied, reason)
            },
            applied: Some(applied),
            fault: None,
        },
        Err(fault) => Ended {
            outcome: Outcome {
                faults,
                plan: shown,
                ..outcome(Verdict::Failed, fault.to_string())
            },
            applied: None,
            fault: Some(fault),
        },
    }
}

/// Makes the change; undoes it if it fails, unless it was the start.
async fn make(
    life: &Life,
    target: Target,
    plan: &Plan,
    cold: bool,
    interrupted: &Cell<bool>,
) -> Result<Applied, ChangeFault> {
    // Large, and not on the data path: on the heap.
    let changing = Box::pin(change(life, target, plan, cold, interrupted));
    let changed = changing.await;
    if changed.is_err() && !cold {
        undo(life).await;
    }
    changed
}

/// Reads and checks the configuration, and all that it names.
async fn read(life: &Life) -> Result<(Target, Vec<Fault>), Box<Outcome>> {
    let (path, known) = (life.path.clone(), life.known());
    match tasks::blocking(move || vet(&path, &known)).await {
        Ok(Ok(checked)) => {
            checked.warnings.iter().for_each(warn);
            Ok((checked.target, checked.warnings))
        }
        Ok(Err(faults)) => {
            tell(&faults);
            Err(Box::new(Outcome {
                faults: faults.iter().map(line).collect(),
                ..outcome(Verdict::Failed, first(&faults))
            }))
        }
        Err(error) => Err(Box::new(outcome(
            Verdict::Failed,
            format!("the configuration could not be checked: {error}"),
        ))),
    }
}

/// What serves, without a service or an instance.
fn without(life: &Life, name: &str) -> Result<Target, Box<Outcome>> {
    let refused = |reason: String| Box::new(outcome(Verdict::Refused, reason));
    let mut target = life
        .world()
        .as_target()
        .ok_or_else(|| refused("nothing serves yet".to_owned()))?;
    let config = &mut target.config;
    let is_service = config.service(name).is_some();
    let is_instance = config.instances.iter().any(|one| one.name == name);
    if is_service {
        config.services.retain(|service| service.name != name);
    } else if is_instance {
        config.services.retain(|service| service.handler != name);
        config.instances.retain(|one| one.name != name);
        for one in &mut config.instances {
            one.after.retain(|after| after != name);
        }
    } else {
        return Err(refused(format!(
            "no service and no instance is called `{name}`"
        )));
    }
    // What only a service had asked for goes with it.
    let services = &config.services;
    let used = |name: &str| services.iter().any(|service| service.handler == name);
    config
        .instances
        .retain(|one| !one.implicit || used(&one.name));
    target.forget_unused();
    Ok(target)
}

/// What serves, with the generation before of one plugin, and the configuration that its instances had then.
fn earlier(life: &Life, plugin: &str, why: &str) -> Result<Target, Box<Outcome>> {
    let refused = |reason: String| Box::new(outcome(Verdict::Refused, reason));
    let mut target = life
        .world()
        .as_target()
        .ok_or_else(|| refused("nothing serves yet".to_owned()))?;
    let code = life.code.borrow();
    let Some(back) = code.standby(plugin).cloned() else {
        return Err(refused(format!(
            "plugin `{plugin}` has no earlier generation to go back to"
        )));
    };
    let Some(file) = target.files.iter_mut().find(|file| file.name == plugin) else {
        return Err(refused(format!("no plugin `{plugin}` serves")));
    };
    let note = format!("generation {} serves again: {why}", back.generation.number);
    *file = back.as_file(&file.path, Some(note));
    for wanted in &mut target.config.instances {
        if let Some(before) = back.instances.iter().find(|one| one.name == wanted.name) {
            wanted.config = before.config.clone();
        }
    }
    Ok(target)
}

fn over(outcome: Outcome) -> Ended {
    Ended {
        outcome,
        applied: None,
        fault: None,
    }
}

fn outcome(verdict: Verdict, reason: String) -> Outcome {
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
        0 => format!("{}: {}", first.place, first.message),
        more => format!("{}: {} (and {more} more)", first.place, first.message),
    }
}

/// As the admin socket tells it.
fn line(fault: &Fault) -> FaultLine {
    FaultLine {
        error: fault.severity == Severity::Error,
        place: fault.place.to_string(),
        message: fault.message.clone(),
        help: fault.help.clone().unwrap_or_default(),
    }
}

/// Logs all faults.
fn tell(faults: &Faults) {
    for fault in faults {
        match fault.severity {
            Severity::Warning => warn(fault),
            Severity::Error => tracing::error!(
                place = %fault.place,
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
    tracing::warn!(place = %fault.place, help, "configuration: {}", fault.message);
}
