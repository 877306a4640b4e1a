//! Listings: what lives, as the admin socket tells it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_api::status::{
    Generation, GenerationState, Instance, Listener, Service, State, Status,
};
use polyport_api::{Plugins, Services};

use crate::control::life::Life;
use crate::control::listen::bind::ListenSocket;
use crate::control::running::code_cache::{RESIDENT_MANY, Resident};
use crate::control::running::state::{InstanceHandle, OpenListener, RunningState};
use crate::control::status::history::History;
use polyport_data::accept::Origin;

/// What listings are made of.
#[derive(Debug)]
pub struct Facts<'a> {
    /// What lives.
    pub life: &'a Life,
    /// What became of the changes.
    pub history: &'a History,
    /// What operators took out of service.
    pub drained: &'a [String],
    /// A reload is undone after so many seconds.
    pub confirm_within_seconds: Option<u64>,
    /// A change is under way.
    pub busy: bool,
    /// The daemon ends.
    pub stopping: bool,
}

impl Facts<'_> {
    fn state(&self) -> State {
        if self.stopping {
            State::Draining
        } else if self.life.state().number == 0 {
            State::Starting
        } else if self.busy {
            State::Reloading
        } else {
            State::Ready
        }
    }
}

/// The daemon as a whole.
#[must_use]
pub fn status(facts: &Facts<'_>) -> Status {
    let life = facts.life;
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        state: facts.state(),
        uptime_seconds: life.begun.elapsed().as_secs(),
        config: life.path.display().to_string(),
        streams: streams(life),
        workers: u32::try_from(life.workers.get().map_or(0, |workers| workers.count()))
            .unwrap_or(u32::MAX),
        changes: facts.history.counts().clone(),
        last_change: facts.history.last(),
        last_failure: facts.history.last_failure(),
        confirm_within_seconds: facts.confirm_within_seconds,
        drained: facts.drained.to_vec(),
        warnings: warnings(life),
    }
}

/// Streams and flows of all instances.
pub(super) fn streams(life: &Life) -> u64 {
    let instances = life.instances();
    let of = |handle: &Arc<InstanceHandle>| handle.live.load(Ordering::Relaxed);
    instances.iter().map(of).sum()
}

/// What the operator should look at.
fn warnings(life: &Life) -> Vec<String> {
    let mut warnings = Vec::new();
    let state = life.state();
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
    if let Some(old_process) = &life.old_process
        && !old_process.serves()
        && old_process.is_draining()
    {
        warnings.push(format!(
            "process {}, which handed over to this one, has not ended yet",
            old_process.pid()
        ));
    }
    if life.executable.has_changed() {
        warnings.push(format!(
            "the executable {} has changed: the next reload hands over to it",
            life.executable.path().display()
        ));
    }
    let resident = life.code.borrow().all().len();
    if resident > RESIDENT_MANY {
        warnings.push(format!(
            "{resident} generations are in memory, whose code is never unmapped: a restart gives it back"
        ));
    }
    warnings
}

/// Ready to serve, or why not.
///
/// # Errors
/// Why not.
pub fn ready(facts: &Facts<'_>) -> Result<(), String> {
    match facts.state() {
        State::Starting => return Err("starting".to_owned()),
        State::Draining => return Err("draining".to_owned()),
        State::Ready | State::Reloading => {}
    }
    let state = facts.life.state();
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
#[must_use]
pub fn services(life: &Life) -> Services {
    let state = life.state();
    let mut services: Vec<Service> = state
        .services
        .iter()
        .map(|service| {
            let name = service.instance.name();
            let room = state.quotas.get(&service.name);
            let streams_max = room.map(|room| room.limit.max());
            let of_it = |open: &&OpenListener| open.service == service.name;
            Service {
                name: service.name.clone(),
                instance: name.instance.clone(),
                plugin: name.plugin.clone(),
                generation: name.generation,
                streams: room.map_or(0, |room| room.limit.used()),
                streams_max: streams_max.filter(|max| *max != u64::MAX),
                listeners: state.sockets.iter().filter(of_it).map(listener).collect(),
            }
        })
        .collect();
    services.sort_by(|one, other| one.name.cmp(&other.name));
    Services { services }
}

fn listener(open: &OpenListener) -> Listener {
    let (origin, receive_buffer, dropped) = match &open.opened {
        ListenSocket::Listener(listener) => (listener.origin, None, None),
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
        address: open.opened.address().to_owned(),
        origin: origin.to_owned(),
        receive_buffer,
        dropped_by_kernel: dropped,
    }
}

/// Every generation that is in memory.
#[must_use]
pub fn plugins(life: &Life) -> Plugins {
    let state = life.state();
    let retiring = life.retiring.borrow();
    let code = life.code.borrow();
    let generations = code.all().iter().map(|resident| {
        let of_it = |handle: &Arc<InstanceHandle>| {
            Arc::ptr_eq(
                handle.hook_thread.instance().generation(),
                &resident.generation,
            )
        };
        let serving = state.instances.iter().filter(|handle| of_it(handle));
        let mut instances: Vec<Instance> = serving.map(|handle| instance(handle, true)).collect();
        let left: Vec<_> = retiring.iter().filter(|one| of_it(&one.handle)).collect();
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
        (None, None) if resident.done => (GenerationState::Retired, "replaced".to_owned()),
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
