//! A plan in the words of the admin API: one line for each listener, service, plugin and instance.

use std::sync::Arc;

use polyport_api::plan::{
    InstanceAction, InstanceStep, ListenerAction, ListenerStep, PluginAction, PluginStep, Restart,
    ServiceAction, ServiceStep,
};
use polyport_config::Config;

use super::{Plan, SocketStep, Step};
use crate::control::desired::{DesiredState, File, Source};
use crate::control::running::state::{InstanceHandle, OpenListener, RunningState};

/// Describes what the plan changes. `initial` is the configuration that the process was started with: keys that differ
/// from it and take effect only at a restart are listed apart.
#[must_use]
pub fn view(
    state: &RunningState,
    desired: &DesiredState,
    plan: &Plan,
    initial: Option<&Config>,
) -> polyport_api::Plan {
    let restart = initial.map(|initial| initial.restart_needed(&desired.config));
    let restart = restart.unwrap_or_default().into_iter();
    polyport_api::Plan {
        listeners: listeners(state, &plan.sockets),
        services: services(state, desired, &plan.instances),
        plugins: plugins(state, desired),
        instances: instances(state, desired, &plan.instances),
        settings: settings(state, desired),
        restart: restart.map(|(key, why)| Restart { key, why }).collect(),
    }
}

/// Changed keys of the process as a whole that take effect without a restart.
fn settings(state: &RunningState, desired: &DesiredState) -> Vec<String> {
    let Some(present) = &state.config else {
        return Vec::new();
    };
    let waiting = present.restart_needed(&desired.config);
    let mut all = present.differences(&desired.config);
    all.retain(|line| {
        let mut keys = waiting.iter().map(|(key, _)| key.as_str());
        let key_of_line = line.split(' ').next();
        !keys.any(|key| Some(key) == key_of_line)
    });
    all
}

fn listeners(state: &RunningState, places: &[SocketStep]) -> Vec<ListenerStep> {
    let mut steps: Vec<ListenerStep> = places
        .iter()
        .map(|place| {
            let (address, action, from) = match &place.have {
                None => (place.wanted.to_string(), ListenerAction::Opened, None),
                Some(open) if open.service == place.service => {
                    let address = open.opened.address().to_owned();
                    (address, ListenerAction::Kept, None)
                }
                Some(open) => {
                    let address = open.opened.address().to_owned();
                    (address, ListenerAction::Moved, Some(open.service.clone()))
                }
            };
            ListenerStep {
                address,
                service: place.service.clone(),
                action,
                from,
            }
        })
        .collect();
    let kept = |open: &OpenListener| {
        let mut have = places.iter().filter_map(|place| place.have.as_ref());
        have.any(|one| one.opened.address() == open.opened.address())
    };
    let closed = state.sockets.iter().filter(|open| !kept(open));
    steps.extend(closed.map(|open| ListenerStep {
        address: open.opened.address().to_owned(),
        service: open.service.clone(),
        action: ListenerAction::Closed,
        from: None,
    }));
    steps
}

fn services(state: &RunningState, desired: &DesiredState, instances: &[Step]) -> Vec<ServiceStep> {
    let streams = |name: &str| state.quotas.get(name).map_or(0, |room| room.limit.used());
    let before = state.config.as_deref();
    let find = |name: &str| before.and_then(|config| config.service(name));
    let replaced = |name: &str| {
        let mut steps = desired.config.instances.iter().zip(instances);
        steps.any(|(one, step)| {
            one.name == name
                && matches!(
                    step,
                    Step::Make {
                        instead_of: Some(_)
                    }
                )
        })
    };
    let mut steps: Vec<ServiceStep> = desired
        .config
        .services
        .iter()
        .map(|wanted| {
            let (action, changes) = match find(&wanted.name) {
                None => (ServiceAction::Added, Vec::new()),
                Some(present) => {
                    let mut changes = present.differences(wanted);
                    if replaced(&wanted.handler) && present.handler == wanted.handler {
                        changes.push(format!("instance {} is replaced", wanted.handler));
                    }
                    let kept = changes.is_empty();
                    let action = if kept {
                        ServiceAction::Kept
                    } else {
                        ServiceAction::Changed
                    };
                    (action, changes)
                }
            };
            ServiceStep {
                name: wanted.name.clone(),
                action,
                changes,
                streams: streams(&wanted.name),
            }
        })
        .collect();
    let gone = before.into_iter().flat_map(|config| &config.services);
    let gone = gone.filter(|present| desired.config.service(&present.name).is_none());
    steps.extend(gone.map(|present| ServiceStep {
        name: present.name.clone(),
        action: ServiceAction::Removed,
        changes: Vec::new(),
        streams: streams(&present.name),
    }));
    steps
}

fn plugins(state: &RunningState, desired: &DesiredState) -> Vec<PluginStep> {
    let before = |name: &str| state.files.iter().find(|(file, _)| file.name == name);
    let show = |file: &File, action: PluginAction, generation: Option<u64>| PluginStep {
        name: file.name.clone(),
        path: file.path.display().to_string(),
        action,
        version: file.report.version.clone(),
        digest: file.digest.short(),
        generation,
        note: file.note.clone(),
    };
    let mut steps: Vec<PluginStep> = desired
        .files
        .iter()
        .map(|file| match (&file.source, before(&file.name)) {
            (Source::Loaded(generation), Some((_, present)))
                if Arc::ptr_eq(generation, present) =>
            {
                show(file, PluginAction::Unchanged, Some(present.number))
            }
            (_, Some(_)) => {
                let number = file.generation().map(|generation| generation.number);
                show(file, PluginAction::Swapped, number)
            }
            (_, None) => {
                let number = file.generation().map(|generation| generation.number);
                show(file, PluginAction::Loaded, number)
            }
        })
        .collect();
    let gone = state.files.iter().filter(|(file, _)| {
        let mut wanted = desired.files.iter();
        !wanted.any(|one| one.name == file.name)
    });
    steps.extend(
        gone.map(|(file, generation)| show(file, PluginAction::Retired, Some(generation.number))),
    );
    steps
}

fn instances(
    state: &RunningState,
    desired: &DesiredState,
    instances: &[Step],
) -> Vec<InstanceStep> {
    let mut steps: Vec<InstanceStep> = desired
        .config
        .instances
        .iter()
        .zip(instances)
        .map(|(wanted, step)| {
            let (action, why, fate) = match step {
                Step::Keep(_) => (InstanceAction::Kept, None, ""),
                Step::Reconfigure(_) => {
                    let why = "its configuration changed";
                    (InstanceAction::Reconfigured, Some(why.to_owned()), "")
                }
                Step::Make { instead_of: None } => (InstanceAction::Added, None, ""),
                Step::Make {
                    instead_of: Some((handle, why)),
                } => {
                    let fate = fate(handle, desired, &wanted.name);
                    (InstanceAction::Replaced, Some((*why).to_owned()), fate)
                }
            };
            let plugin = desired.handler_ref(&wanted.name);
            InstanceStep {
                name: wanted.name.clone(),
                plugin: plugin.map_or_else(String::new, |(file, _)| file.name.clone()),
                action,
                why,
                streams: streams_of(state, &wanted.name),
                fate: fate.to_owned(),
            }
        })
        .collect();
    let is_desired = |name: &str| desired.config.instances.iter().any(|one| one.name == name);
    let running = state.instances.iter();
    let removed = running.filter(|handle| !is_desired(handle.name()));
    steps.extend(removed.map(|handle| InstanceStep {
        name: handle.name().to_owned(),
        plugin: handle.hook_thread.instance().name().plugin.clone(),
        action: InstanceAction::Removed,
        why: None,
        streams: streams_of(state, handle.name()),
        fate: "drain".to_owned(),
    }));
    steps
}

/// What the streams of a replaced instance will do.
fn fate(handle: &InstanceHandle, desired: &DesiredState, name: &str) -> &'static str {
    let present = handle.hook_thread.instance();
    let offers = desired
        .summary(name)
        .is_some_and(|next| present.streams_could_go_to(next));
    if offers {
        "move to the new code"
    } else if present.is_exclusive() {
        "end: the instance is exclusive, and its streams cannot move"
    } else {
        "finish on the old code"
    }
}

/// Streams of all services behind an instance.
fn streams_of(state: &RunningState, instance: &str) -> u64 {
    let services = state.services.iter();
    services
        .filter(|service| service.instance.name().instance == instance)
        .filter_map(|service| state.quotas.get(&service.name))
        .map(|room| room.limit.used())
        .sum()
}
