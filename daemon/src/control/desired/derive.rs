//! Desired states that are derived from what runs: without a service or an instance, or with earlier code.

use std::sync::Arc;

use polyport_host::generation::Generation;

use super::DesiredState;
use crate::control::running::Inventory;

/// What runs, without a service or an instance.
///
/// # Errors
/// Why not, for the operator.
pub fn without(inventory: &Inventory, name: &str) -> Result<DesiredState, String> {
    let mut desired = running(inventory)?;
    let config = &mut desired.config;
    if config.service(name).is_some() {
        config.services.retain(|service| service.name != name);
    } else if config.instances.iter().any(|one| one.name == name) {
        config.services.retain(|service| service.handler != name);
        config.instances.retain(|one| one.name != name);
        for one in &mut config.instances {
            one.after.retain(|after| after != name);
        }
    } else {
        return Err(format!("no service and no instance is called `{name}`"));
    }
    // Instances that exist only because a service named them go with it.
    let services = &config.services;
    let is_used = |name: &str| services.iter().any(|service| service.handler == name);
    config
        .instances
        .retain(|one| !one.implicit || is_used(&one.name));
    desired.remove_unused();
    Ok(desired)
}

/// What runs, with the previous generation of a plugin and the configuration that its instances had then. With `failed`
/// only if that generation still serves.
///
/// # Errors
/// Why not, for the operator.
pub fn with_previous_code(
    inventory: &Inventory,
    plugin: &str,
    failed: Option<&Arc<Generation>>,
    why: &str,
) -> Result<DesiredState, String> {
    let mut desired = running(inventory)?;
    let code = inventory.code.borrow();
    let previous = code
        .standby(plugin)
        .ok_or_else(|| format!("plugin `{plugin}` has no earlier generation to go back to"))?;
    let mut files = desired.files.iter_mut().enumerate();
    let (index, file) = files
        .find(|(_, file)| file.name == plugin)
        .ok_or_else(|| format!("no plugin `{plugin}` serves"))?;
    if let (Some(failed), Some(present)) = (failed, file.generation())
        && !Arc::ptr_eq(failed, present)
    {
        return Err(format!(
            "generation {} does not serve any more",
            failed.number
        ));
    }
    let number = previous.generation.number;
    let note = format!("generation {number} serves again: {why}");
    *file = previous.as_file(&file.path, Some(note));
    for wanted in &mut desired.config.instances {
        let handler = desired.handlers.get(&wanted.name);
        let Some(handler) = handler.filter(|handler| handler.file == index) else {
            continue;
        };
        if previous.generation.handler(&handler.handler).is_none() {
            return Err(format!(
                "instance `{}` runs handler `{}`, which generation {number} of plugin `{plugin}` does not have: take it \
                 out of the configuration first",
                wanted.name, handler.handler
            ));
        }
        let mut instances = previous.instances.iter();
        if let Some(before) = instances.find(|one| one.name == wanted.name) {
            wanted.config = before.config.clone();
        }
    }
    Ok(desired)
}

fn running(inventory: &Inventory) -> Result<DesiredState, String> {
    let running = DesiredState::of_running(&inventory.state());
    running.ok_or_else(|| "nothing serves yet".to_owned())
}
