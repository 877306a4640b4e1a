//! Where targets come from: the configuration on disk, or what serves with something taken out or taken back.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use polyport_api::{Outcome, Verdict};
use polyport_config::Fault;
use polyport_host::generation::Generation;

use crate::control::desired::load::validate;
use crate::control::desired::{DesiredState, HandlerRef};
use crate::control::life::Life;
use crate::control::operation::{Operation, first, line, outcome, tell, warn};
use polyport_common::tasks;

/// How often a check that runs is asked whether it is still wanted.
const LOOK: Duration = Duration::from_millis(50);

/// The target of a wish, and the warnings about it.
///
/// # Errors
/// The outcome: why there is none.
pub async fn of(
    life: &Life,
    operation: Operation,
    interrupted: &Cell<bool>,
) -> Result<(DesiredState, Vec<Fault>), Box<Outcome>> {
    let plain = |desired| (desired, Vec::new());
    match operation {
        Operation::Start(checked) => Ok((checked.desired, checked.warnings)),
        Operation::Plan | Operation::Reload { .. } | Operation::HandOver => {
            read(life, interrupted).await
        }
        Operation::Drain { name } => without(life, &name).map(plain),
        Operation::Rollback {
            plugin,
            failed,
            why,
        } => earlier(life, &plugin, failed.as_ref(), &why).map(plain),
        Operation::GoBack(desired) => Ok(plain(*desired)),
    }
}

/// Reads and checks the configuration, and all that it names.
async fn read(
    life: &Life,
    interrupted: &Cell<bool>,
) -> Result<(DesiredState, Vec<Fault>), Box<Outcome>> {
    let (path, cache) = (life.path.clone(), life.cache());
    let checked = tokio::select! {
        checked = tasks::blocking(move || validate(&path, &cache)) => checked,
        // A child that is being probed ends by its own alarm.
        () = until(interrupted) => {
            let reason = "interrupted: the daemon is told to stop".to_owned();
            return Err(Box::new(outcome(Verdict::Failed, reason)));
        }
    };
    match checked {
        Ok(Ok(checked)) => {
            checked.warnings.iter().for_each(warn);
            Ok((checked.desired, checked.warnings))
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
fn without(life: &Life, name: &str) -> Result<DesiredState, Box<Outcome>> {
    let refused = |reason: String| Box::new(outcome(Verdict::Refused, reason));
    let mut desired = life
        .state()
        .as_target()
        .ok_or_else(|| refused("nothing serves yet".to_owned()))?;
    let config = &mut desired.config;
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
    desired.forget_unused();
    Ok(desired)
}

/// Waits until the daemon is told to stop.
async fn until(interrupted: &Cell<bool>) {
    while !interrupted.get() {
        tokio::time::sleep(LOOK).await;
    }
}

/// What serves, with the generation before of one plugin, and the configuration that its instances had then.
fn earlier(
    life: &Life,
    plugin: &str,
    failed: Option<&Arc<Generation>>,
    why: &str,
) -> Result<DesiredState, Box<Outcome>> {
    let refused = |reason: String| Box::new(outcome(Verdict::Refused, reason));
    let mut desired = life
        .state()
        .as_target()
        .ok_or_else(|| refused("nothing serves yet".to_owned()))?;
    let code = life.code.borrow();
    let Some(back) = code.standby(plugin) else {
        return Err(refused(format!(
            "plugin `{plugin}` has no earlier generation to go back to"
        )));
    };
    let files = &mut desired.files;
    let Some(at) = files.iter().position(|file| file.name == plugin) else {
        return Err(refused(format!("no plugin `{plugin}` serves")));
    };
    let Some(file) = files.get_mut(at) else {
        return Err(refused(format!("no plugin `{plugin}` serves")));
    };
    let present = file.generation();
    if let (Some(failed), Some(present)) = (failed, present)
        && !Arc::ptr_eq(failed, present)
    {
        return Err(refused(format!(
            "generation {} does not serve any more",
            failed.number
        )));
    }
    let note = format!("generation {} serves again: {why}", back.generation.number);
    *file = back.as_file(&file.path, Some(note));
    let of_file = |handler_ref: &HandlerRef| handler_ref.file == at;
    for wanted in &mut desired.config.instances {
        let handler_ref = desired.handlers.get(&wanted.name);
        let Some(handler_ref) = handler_ref.filter(|handler_ref| of_file(handler_ref)) else {
            continue;
        };
        if back.generation.handler(&handler_ref.handler).is_none() {
            return Err(refused(format!(
                "instance `{}` runs handler `{}`, which generation {} of plugin `{plugin}` does not have: take it out \
                 of the configuration first",
                wanted.name, handler_ref.handler, back.generation.number
            )));
        }
        if let Some(before) = back.instances.iter().find(|one| one.name == wanted.name) {
            wanted.config = before.config.clone();
        }
    }
    Ok(desired)
}
