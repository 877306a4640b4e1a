//! A plan in the words of the admin API: one line for each listener, service, plugin and instance.

use std::sync::Arc;

use polyport_api::plan::{
    InstanceAction, InstanceStep, ListenerAction, ListenerStep, PluginAction, PluginStep, Restart,
    ServiceAction, ServiceStep,
};
use polyport_config::Config;

use super::{InstancePlan, ListenerPlan, Plan};
use crate::control::desired::DesiredState;
use crate::control::running::{InstanceHandle, OpenListener, PluginFile, RunningState};
use polyport_host::transfer::may_transfer_streams;

/// Describes a plan. `initial` is the configuration that the process was started with: keys that differ from it and
/// take effect only at a restart are listed apart.
pub fn view(
    state: &RunningState,
    desired: &DesiredState,
    plan: &Plan,
    initial: Option<&Config>,
) -> polyport_api::Plan {
    let restart = initial.map(|initial| initial.restart_needed(&desired.config));
    let restart = restart.unwrap_or_default().into_iter();
    polyport_api::Plan {
        listeners: listeners(state, &plan.listeners),
        services: services(state, desired, &plan.instances),
        plugins: plugins(state, desired),
        instances: instances(state, desired, &plan.instances),
        settings: settings(state, desired),
        restart: restart.map(|(key, why)| Restart { key, why }).collect(),
    }
}

fn listeners(state: &RunningState, plans: &[ListenerPlan]) -> Vec<ListenerStep> {
    let step = |address: String, service: &str, action, from| ListenerStep {
        address,
        service: service.to_owned(),
        action,
        from,
    };
    let shown = |open: &OpenListener| open.socket.address().to_owned();
    let planned = plans.iter().map(|plan| {
        let service = plan.service.as_str();
        match &plan.kept {
            None => step(
                plan.address.to_string(),
                service,
                ListenerAction::Opened,
                None,
            ),
            Some(open) if open.service == plan.service => {
                step(shown(open), service, ListenerAction::Kept, None)
            }
            Some(open) => {
                let from = Some(open.service.clone());
                step(shown(open), service, ListenerAction::Moved, from)
            }
        }
    });
    let is_kept = |open: &OpenListener| {
        let mut kept = plans.iter().filter_map(|plan| plan.kept.as_ref());
        kept.any(|one| one.socket.address() == open.socket.address())
    };
    let closed = state.listeners.iter().filter(|open| !is_kept(open));
    let closed = closed.map(|open| step(shown(open), &open.service, ListenerAction::Closed, None));
    planned.chain(closed).collect()
}

fn services(
    state: &RunningState,
    desired: &DesiredState,
    instances: &[InstancePlan],
) -> Vec<ServiceStep> {
    let before = state.config.as_deref();
    let is_replaced = |name: &str| {
        let mut steps = desired.config.instances.iter().zip(instances);
        let is_replacement =
            |step: &InstancePlan| matches!(step, InstancePlan::Create { replaces: Some(_) });
        steps.any(|(one, step)| one.name == name && is_replacement(step))
    };
    let step = |name: &str, action, changes| ServiceStep {
        name: name.to_owned(),
        action,
        changes,
        streams: state.streams_of(name),
    };
    let planned = desired.config.services.iter().map(|wanted| {
        let present = before.and_then(|config| config.service(&wanted.name));
        let Some(present) = present else {
            return step(&wanted.name, ServiceAction::Added, Vec::new());
        };
        let mut changes = present.differences(wanted);
        if is_replaced(&wanted.handler) && present.handler == wanted.handler {
            changes.push(format!("instance {} is replaced", wanted.handler));
        }
        let action = if changes.is_empty() {
            ServiceAction::Kept
        } else {
            ServiceAction::Changed
        };
        step(&wanted.name, action, changes)
    });
    let removed = before.into_iter().flat_map(|config| &config.services);
    let removed = removed.filter(|present| desired.config.service(&present.name).is_none());
    let removed = removed.map(|present| step(&present.name, ServiceAction::Removed, Vec::new()));
    planned.chain(removed).collect()
}

fn plugins(state: &RunningState, desired: &DesiredState) -> Vec<PluginStep> {
    let step = |file: &PluginFile, action, generation: Option<u64>| PluginStep {
        name: file.name.clone(),
        path: file.path.display().to_string(),
        action,
        version: file.report.version.clone(),
        digest: file.digest.short(),
        generation,
        note: file.note.clone(),
    };
    let planned = desired.files.iter().map(|file| {
        let number = file.generation().map(|generation| generation.number);
        let action = match (file.generation(), state.generation(&file.name)) {
            (Some(wanted), Some(present)) if Arc::ptr_eq(wanted, present) => {
                PluginAction::Unchanged
            }
            (_, Some(_)) => PluginAction::Swapped,
            (_, None) => PluginAction::Loaded,
        };
        step(file, action, number)
    });
    let is_desired = |name: &str| desired.files.iter().any(|one| one.name == name);
    let removed = state.files.iter();
    let removed = removed.filter(|(file, _)| !is_desired(&file.name));
    let removed = removed.map(|(file, code)| step(file, PluginAction::Retired, Some(code.number)));
    planned.chain(removed).collect()
}

fn instances(
    state: &RunningState,
    desired: &DesiredState,
    plans: &[InstancePlan],
) -> Vec<InstanceStep> {
    let wanted = desired.config.instances.iter();
    let planned = wanted.zip(plans).map(|(wanted, plan)| {
        let (action, why, fate) = match plan {
            InstancePlan::Keep(_) => (InstanceAction::Kept, None, ""),
            InstancePlan::Reconfigure(_) => {
                let why = "its configuration changed";
                (InstanceAction::Reconfigured, Some(why), "")
            }
            InstancePlan::Create { replaces: None } => (InstanceAction::Added, None, ""),
            InstancePlan::Create {
                replaces: Some((handle, why)),
            } => {
                let fate = fate(handle, desired);
                (InstanceAction::Replaced, Some(*why), fate)
            }
        };
        let plugin = desired.handler_of(&wanted.name);
        InstanceStep {
            name: wanted.name.clone(),
            plugin: plugin.map_or_else(String::new, |(file, _)| file.name.clone()),
            action,
            why: why.map(str::to_owned),
            streams: streams_of(state, &wanted.name),
            fate: fate.to_owned(),
        }
    });
    let is_desired = |name: &str| desired.config.instances.iter().any(|one| one.name == name);
    let removed = state.instances.iter();
    let removed = removed.filter(|handle| !is_desired(handle.name()));
    let removed = removed.map(|handle| InstanceStep {
        name: handle.name().to_owned(),
        plugin: handle.hook_thread.instance().name().plugin.clone(),
        action: InstanceAction::Removed,
        why: None,
        streams: streams_of(state, handle.name()),
        fate: "drain".to_owned(),
    });
    planned.chain(removed).collect()
}

/// What the streams of a replaced instance will do.
fn fate(handle: &InstanceHandle, desired: &DesiredState) -> &'static str {
    let present = handle.hook_thread.instance();
    let next = desired.summary_of(handle.name());
    if next.is_some_and(|next| may_transfer_streams(present, next)) {
        "move to the new code"
    } else if present.is_exclusive() {
        "end: the instance is exclusive, and its streams cannot move"
    } else {
        "finish on the old code"
    }
}

/// The number of streams of all services of an instance.
fn streams_of(state: &RunningState, instance: &str) -> u64 {
    let services = state.services.iter();
    let services = services.filter(|service| service.instance.name().instance == instance);
    services
        .map(|service| state.streams_of(&service.name))
        .sum()
}

/// Changed keys of the process as a whole that take effect without a restart.
fn settings(state: &RunningState, desired: &DesiredState) -> Vec<String> {
    let Some(present) = &state.config else {
        return Vec::new();
    };
    let waiting = present.restart_needed(&desired.config);
    let mut changes = present.differences(&desired.config);
    changes.retain(|line| {
        let key_of_line = line.split(' ').next();
        !waiting
            .iter()
            .any(|(key, _)| Some(key.as_str()) == key_of_line)
    });
    changes
}
