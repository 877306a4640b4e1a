//! The plan: what lies between the world and a target. Pure: it looks at both and changes neither.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_api::plan::{
    InstanceAction, InstanceStep, ListenerAction, ListenerStep, PluginAction, PluginStep, Restart,
    ServiceAction, ServiceStep,
};
use polyport_config::{Config, Instance, ListenAddress};

use super::target::{File, Source, Target};
use super::world::{Held, Leaver, Open, World};

/// A plan, as it is shown and as it is carried out.
#[derive(Debug)]
pub struct Plan {
    /// For people.
    pub shown: polyport_api::Plan,
    /// What becomes of each instance of the target, in its order.
    pub instances: Vec<Step>,
    /// Instances that the target does not name.
    pub removed: Vec<Arc<Held>>,
    /// Where each listener of the target comes from, in its order.
    pub sockets: Vec<Place>,
}

/// What becomes of an instance.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nothing.
    Keep(Arc<Held>),
    /// It is asked to take its new configuration.
    Reconfigure(Arc<Held>),
    /// A new one, perhaps in place of one that lives.
    Make {
        /// Which, and why.
        instead_of: Option<(Arc<Held>, &'static str)>,
    },
}

/// Where a listener comes from.
#[derive(Debug, Clone)]
pub struct Place {
    /// As in the configuration.
    pub wanted: ListenAddress,
    /// Whose it is to be.
    pub service: String,
    /// The open socket that serves on; `None`: to be opened.
    pub have: Option<Open>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum NoPlan {
    /// A socket would have to be closed before another one opens.
    #[error(
        "service `{service}`: {opens} covers {closes}, which this change closes only after everything new is open; \
         remove {closes} in one reload and add {opens} in the next, or restart the daemon"
    )]
    Covered {
        /// Whose the new one is.
        service: String,
        /// The new address.
        opens: String,
        /// The present one.
        closes: String,
    },
    /// An exclusive instance cannot be asked to let go.
    #[error(
        "instance `{instance}` is exclusive, and a hook of it has not returned: it cannot be replaced while the daemon \
         runs; restart the daemon"
    )]
    Stuck {
        /// Which.
        instance: String,
    },
    /// The one before still has the state.
    #[error(
        "instance `{instance}` was taken out of service and still ends ({streams} streams are left): its state is not \
         at rest yet; ask again when it is gone, which `polyportctl plugins` tells"
    )]
    Leaves {
        /// Which.
        instance: String,
        /// Streams and flows that it has.
        streams: u64,
    },
}

/// Compares. `born` is the configuration that the process began with.
///
/// # Errors
/// See [`NoPlan`].
pub fn plan(
    world: &World,
    leaving: &[Leaver],
    target: &Target,
    born: Option<&Config>,
) -> Result<Plan, NoPlan> {
    let sockets = places(world, target)?;
    let instances: Vec<Step> = target
        .config
        .instances
        .iter()
        .map(|wanted| step(world, target, wanted))
        .collect();
    check(&instances, leaving, target)?;
    let named = |held: &Arc<Held>| {
        let mut names = target.config.instances.iter();
        names.any(|wanted| wanted.name == held.name())
    };
    let removed: Vec<_> = world
        .instances
        .iter()
        .filter(|held| !named(held))
        .cloned()
        .collect();
    let restart = born.map(|born| born.restart_needed(&target.config));
    let restart = restart.unwrap_or_default().into_iter();
    let shown = polyport_api::Plan {
        listeners: show_listeners(world, &sockets),
        services: show_services(world, target, &instances),
        plugins: show_plugins(world, target),
        instances: show_instances(world, target, &instances, &removed),
        settings: settings(world, target),
        restart: restart.map(|(key, why)| Restart { key, why }).collect(),
    };
    Ok(Plan {
        shown,
        instances,
        removed,
        sockets,
    })
}

/// Can everything that is to be made be made?
fn check(instances: &[Step], leaving: &[Leaver], target: &Target) -> Result<(), NoPlan> {
    for (wanted, step) in target.config.instances.iter().zip(instances) {
        let Step::Make { instead_of } = step else {
            continue;
        };
        if let Some((old, _)) = instead_of
            && old.hook_thread.is_abandoned()
            && old.hook_thread.instance().is_exclusive()
        {
            let instance = wanted.name.clone();
            return Err(NoPlan::Stuck { instance });
        }
        let owner = |one: &&Leaver| {
            let instance = one.held.hook_thread.instance();
            let has_state = instance.keeps_state() || instance.is_exclusive();
            one.held.name() == wanted.name && has_state && one.held.owns_state()
        };
        if let Some(one) = leaving.iter().find(owner) {
            return Err(NoPlan::Leaves {
                instance: wanted.name.clone(),
                streams: one.held.live.load(Ordering::Relaxed),
            });
        }
    }
    Ok(())
}

/// Keys of the process as a whole that change and that a change can put in force.
fn settings(world: &World, target: &Target) -> Vec<String> {
    let Some(present) = &world.config else {
        return Vec::new();
    };
    let waiting = present.restart_needed(&target.config);
    let mut all = present.differences(&target.config);
    all.retain(|line| {
        let mut keys = waiting.iter().map(|(key, _)| key.as_str());
        let key_of_line = line.split(' ').next();
        !keys.any(|key| Some(key) == key_of_line)
    });
    all
}

/// What becomes of one instance.
fn step(world: &World, target: &Target, wanted: &Instance) -> Step {
    let Some(held) = world.instance(&wanted.name) else {
        return Step::Make { instead_of: None };
    };
    let present = held.hook_thread.instance();
    let replace = |why| Step::Make {
        instead_of: Some((Arc::clone(held), why)),
    };
    let same_code = target.choice(&wanted.name).is_some_and(|(file, _)| {
        file.generation()
            .is_some_and(|generation| Arc::ptr_eq(generation, present.generation()))
    });
    let same_handler = target
        .choice(&wanted.name)
        .is_some_and(|(_, handler)| handler == present.handler().id);
    let configured = world.config.as_ref().and_then(|config| {
        let mut instances = config.instances.iter();
        instances.find(|one| one.name == wanted.name)
    });
    let same_config = configured.is_some_and(|one| one.config.to_json() == wanted.config.to_json());
    if held.hook_thread.is_abandoned() {
        replace("a hook of it has not returned")
    } else if !same_code {
        replace("new code")
    } else if !same_handler {
        replace("another handler")
    } else if same_config {
        Step::Keep(Arc::clone(held))
    } else if present.can_reconfigure() {
        Step::Reconfigure(Arc::clone(held))
    } else {
        replace("its configuration changed")
    }
}

/// Finds the open socket for each listener of the target: of the same service first, then of any.
fn places(world: &World, target: &Target) -> Result<Vec<Place>, NoPlan> {
    let mut left: Vec<&Open> = world.sockets.iter().collect();
    let mut places: Vec<Place> = Vec::new();
    for service in &target.config.services {
        places.extend(service.listeners.iter().map(|listener| Place {
            wanted: listener.address.clone(),
            service: service.name.clone(),
            have: None,
        }));
    }
    for of_same_service in [true, false] {
        for place in places.iter_mut().filter(|place| place.have.is_none()) {
            let fits = |open: &&Open| {
                place.wanted.same_socket(&open.wanted)
                    && (!of_same_service || open.service == place.service)
            };
            if let Some(at) = left.iter().position(fits) {
                place.have = Some(left.swap_remove(at).clone());
            }
        }
    }
    for place in places.iter().filter(|place| place.have.is_none()) {
        if let Some(closes) = left.iter().find(|open| place.wanted.overlaps(&open.wanted)) {
            return Err(NoPlan::Covered {
                service: place.service.clone(),
                opens: place.wanted.to_string(),
                closes: closes.opened.address().to_owned(),
            });
        }
    }
    Ok(places)
}

fn show_listeners(world: &World, places: &[Place]) -> Vec<ListenerStep> {
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
    let kept = |open: &Open| {
        let mut have = places.iter().filter_map(|place| place.have.as_ref());
        have.any(|one| one.opened.address() == open.opened.address())
    };
    let closed = world.sockets.iter().filter(|open| !kept(open));
    steps.extend(closed.map(|open| ListenerStep {
        address: open.opened.address().to_owned(),
        service: open.service.clone(),
        action: ListenerAction::Closed,
        from: None,
    }));
    steps
}

fn show_services(world: &World, target: &Target, instances: &[Step]) -> Vec<ServiceStep> {
    let streams = |name: &str| world.rooms.get(name).map_or(0, |room| room.limit.used());
    let before = world.config.as_deref();
    let find = |name: &str| before.and_then(|config| config.service(name));
    let replaced = |name: &str| {
        let mut steps = target.config.instances.iter().zip(instances);
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
    let mut steps: Vec<ServiceStep> = target
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
    let gone = gone.filter(|present| target.config.service(&present.name).is_none());
    steps.extend(gone.map(|present| ServiceStep {
        name: present.name.clone(),
        action: ServiceAction::Removed,
        changes: Vec::new(),
        streams: streams(&present.name),
    }));
    steps
}

fn show_plugins(world: &World, target: &Target) -> Vec<PluginStep> {
    let before = |name: &str| world.files.iter().find(|(file, _)| file.name == name);
    let show = |file: &File, action: PluginAction, generation: Option<u64>| PluginStep {
        name: file.name.clone(),
        path: file.path.display().to_string(),
        action,
        version: file.report.version.clone(),
        digest: file.digest.short(),
        generation,
        note: file.note.clone(),
    };
    let mut steps: Vec<PluginStep> = target
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
    let gone = world.files.iter().filter(|(file, _)| {
        let mut wanted = target.files.iter();
        !wanted.any(|one| one.name == file.name)
    });
    steps.extend(
        gone.map(|(file, generation)| show(file, PluginAction::Retired, Some(generation.number))),
    );
    steps
}

fn show_instances(
    world: &World,
    target: &Target,
    instances: &[Step],
    removed: &[Arc<Held>],
) -> Vec<InstanceStep> {
    let mut steps: Vec<InstanceStep> = target
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
                    instead_of: Some((held, why)),
                } => {
                    let fate = fate(held, target, &wanted.name);
                    (InstanceAction::Replaced, Some((*why).to_owned()), fate)
                }
            };
            let plugin = target.choice(&wanted.name);
            InstanceStep {
                name: wanted.name.clone(),
                plugin: plugin.map_or_else(String::new, |(file, _)| file.name.clone()),
                action,
                why,
                streams: streams_of(world, &wanted.name),
                fate: fate.to_owned(),
            }
        })
        .collect();
    steps.extend(removed.iter().map(|held| InstanceStep {
        name: held.name().to_owned(),
        plugin: held.hook_thread.instance().name().plugin.clone(),
        action: InstanceAction::Removed,
        why: None,
        streams: streams_of(world, held.name()),
        fate: "drain".to_owned(),
    }));
    steps
}

/// What the streams of a replaced instance will do.
fn fate(held: &Held, target: &Target, name: &str) -> &'static str {
    let present = held.hook_thread.instance();
    let offers = target
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
fn streams_of(world: &World, instance: &str) -> u64 {
    let services = world.services.iter();
    services
        .filter(|service| service.instance.name().instance == instance)
        .filter_map(|service| world.rooms.get(&service.name))
        .map(|room| room.limit.used())
        .sum()
}
