//! Listings for the admin socket: the daemon, its services and its plugins.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_api::status::{
    Generation, GenerationState, Instance, Listener, Service, State, Status,
};
use polyport_api::{Plugins, Services};

use super::Facts;
use crate::control::listen::bind::ListenSocket;
use crate::control::process::Context;
use crate::control::running::code_cache::{RESIDENT_MANY, Resident};
use crate::control::running::{InstanceHandle, Inventory, OpenListener, RunningState};
use polyport_data::listen::Origin;

/// The daemon as a whole.
pub fn status(facts: &Facts<'_>) -> Status {
    let context = facts.context;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: facts.state(),
        uptime_seconds: context.process.started_at.elapsed().as_secs(),
        config: context.process.config_path.display().to_string(),
        streams: streams(context.inventory),
        workers: u32::try_from(context.plane.worker_count()).unwrap_or(u32::MAX),
        changes: facts.history.counts().clone(),
        last_change: facts.history.last(),
        last_failure: facts.history.last_failure(),
        confirm_within_seconds: facts.confirm_within_seconds,
        drained: facts.drained.to_vec(),
        warnings: warnings(context),
    }
}

/// Streams and flows of all instances.
pub(super) fn streams(inventory: &Inventory) -> u64 {
    let instances = inventory.instances();
    let of = |handle: &Arc<InstanceHandle>| handle.live.load(Ordering::Relaxed);
    instances.iter().map(of).sum()
}

/// What needs the attention of the operator.
fn warnings(context: Context<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let Context {
        process, inventory, ..
    } = context;
    let state = inventory.state();
    for (file, _) in &state.files {
        warnings.extend(file.note.clone());
    }
    for handle in &state.instances {
        if handle.hook_thread.is_abandoned() {
            let what_follows = if handle.hook_thread.instance().is_exclusive() {
                "it is exclusive, so that only a restart replaces it"
            } else {
                "the next reload replaces it, without what it has not saved"
            };
            warnings.push(format!(
                "instance {} was given up: a hook of it has not returned; {what_follows}",
                handle.name()
            ));
        } else if handle.health.is_good() == Some(false) {
            warnings.push(format!(
                "instance {} says that it is not healthy",
                handle.name()
            ));
        }
    }
    if let Some(old_process) = &process.old_process
        && !old_process.serves()
        && old_process.is_draining()
    {
        warnings.push(format!(
            "process {}, which handed over to this one, has not ended yet",
            old_process.pid()
        ));
    }
    if process.executable.has_changed() {
        warnings.push(format!(
            "the executable {} has changed: the next reload hands over to it",
            process.executable.path().display()
        ));
    }
    let resident = inventory.code.borrow().all().len();
    if resident > RESIDENT_MANY {
        warnings.push(format!(
            "{resident} generations are in memory, whose code is never unmapped: a restart gives it back"
        ));
    }
    warnings
}

/// Checks that the daemon serves and all instances are healthy.
///
/// # Errors
/// Why not.
pub fn ready(facts: &Facts<'_>) -> Result<(), String> {
    match facts.state() {
        State::Starting => return Err("starting".to_owned()),
        State::Draining => return Err("draining".to_owned()),
        State::Ready | State::Reloading => {}
    }
    let state = facts.context.inventory.state();
    let mut bad = state
        .instances
        .iter()
        .filter(|handle| handle.health.is_good() == Some(false));
    match bad.next() {
        Some(handle) => Err(format!("instance {} is not healthy", handle.name())),
        None => Ok(()),
    }
}

/// All services.
pub fn services(context: Context<'_>) -> Services {
    let state = context.inventory.state();
    let mut services: Vec<Service> = state
        .services
        .iter()
        .map(|service| {
            let name = service.instance.name();
            let quota = state.quotas.get(&service.name);
            let streams_max = quota.map(|quota| quota.limit.max());
            let of_it = |open: &&OpenListener| open.service == service.name;
            Service {
                name: service.name.clone(),
                instance: name.instance.clone(),
                plugin: name.plugin.clone(),
                generation: name.generation,
                streams: quota.map_or(0, |quota| quota.limit.used()),
                streams_max: streams_max.filter(|max| *max != u64::MAX),
                listeners: state.listeners.iter().filter(of_it).map(listener).collect(),
            }
        })
        .collect();
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Services { services }
}

fn listener(open: &OpenListener) -> Listener {
    let (origin, receive_buffer, dropped) = match &open.socket {
        ListenSocket::Streams(listener) => (listener.origin, None, None),
        ListenSocket::Datagrams(socket) => {
            let dropped = socket.dropped_by_kernel.load(Ordering::Relaxed);
            let granted = socket.granted.map(number);
            (socket.socket.origin(), granted, Some(u64::from(dropped)))
        }
    };
    let origin = match origin {
        Origin::Bound => "bound",
        Origin::Inherited => "inherited",
    };
    Listener {
        address: open.socket.address().to_owned(),
        origin: origin.to_owned(),
        receive_buffer,
        dropped_by_kernel: dropped,
    }
}

/// Every generation in memory, with its instances.
pub fn plugins(context: Context<'_>) -> Plugins {
    let state = context.inventory.state();
    let retiring = context.inventory.retiring.borrow();
    let code = context.inventory.code.borrow();
    let generations = code.all().iter().map(|resident| {
        let is_of = |handle: &Arc<InstanceHandle>| handle.runs(&resident.generation);
        let serving = state.instances.iter().filter(|handle| is_of(handle));
        let mut instances: Vec<Instance> = serving.map(|handle| instance(handle, true)).collect();
        let left: Vec<_> = retiring.iter().filter(|one| is_of(&one.handle)).collect();
        instances.extend(left.iter().map(|one| instance(&one.handle, false)));
        let (state, reason) = state_of(resident, &state, left.first().map(|one| one.why.as_str()));
        let generation = &resident.generation;
        Generation {
            number: generation.number,
            plugin: generation.name.clone(),
            id: generation.id.clone(),
            version: generation.version.clone(),
            path: generation.path.display().to_string(),
            digest: generation.digest.to_string(),
            state,
            reason,
            mapped_bytes: generation.mapped_size,
            instances,
        }
    });
    Plugins {
        generations: generations.collect(),
    }
}

fn state_of(
    resident: &Resident,
    state: &RunningState,
    leaves: Option<&str>,
) -> (GenerationState, String) {
    let serves = state
        .files
        .iter()
        .any(|(_, one)| Arc::ptr_eq(one, &resident.generation));
    match (&resident.withdrawn, leaves) {
        (Some(withdrawn), _) => (GenerationState::Withdrawn, withdrawn.why.clone()),
        _ if serves => (GenerationState::Serving, String::new()),
        (None, Some(why)) => (GenerationState::Leaving, why.to_owned()),
        (None, None) if resident.standby => (
            GenerationState::Standby,
            "a rollback would take it".to_owned(),
        ),
        (None, None) if resident.retired => (GenerationState::Retired, "replaced".to_owned()),
        (None, None) => (
            GenerationState::Standby,
            "nothing uses it; its file may come again".to_owned(),
        ),
    }
}

fn instance(handle: &InstanceHandle, serving: bool) -> Instance {
    let instance = handle.hook_thread.instance();
    Instance {
        name: handle.name().to_owned(),
        handler: instance.handler().id.clone(),
        serving,
        streams: handle.live.load(Ordering::Relaxed),
        healthy: handle.health.is_good(),
        panics: instance.panics(),
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
