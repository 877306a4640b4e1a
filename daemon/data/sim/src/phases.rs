//! Pauses, hand-overs and the shutdown.

use std::sync::Arc;

use polyport_common::shutdown::Phase;
use polyport_common::wait_group::wait_group;

use crate::control::Pause;
use crate::counts::{Kind, Work};
use crate::driver::{Command, Standby};
use crate::reload;
use crate::simulation::Simulation;

/// Pauses actors.
pub(crate) fn pause(sim: &mut Simulation, actors: &[usize]) {
    let instances = actors
        .iter()
        .filter_map(|one| Some(sim.actors.get(*one)?.instance.index()));
    let instances: Arc<[u32]> = instances.collect();
    let applied = wait_group();
    for actor in actors {
        sim.trace.step("pause", &[("actor", *actor as u64)]);
        sim.count_all(Work::Pause, |one| one.actor == *actor);
    }
    sim.remote
        .send(Command::Pause(Arc::clone(&instances), applied.token()));
    sim.control.pauses.push(Pause {
        instances,
        actors: actors.to_vec(),
        applied,
    });
}

/// Resumes the pause at this place.
pub(crate) fn resume(sim: &mut Simulation, place: usize) {
    if place >= sim.control.pauses.len() {
        return;
    }
    let pause = sim.control.pauses.remove(place);
    for actor in &pause.actors {
        sim.trace.step("resume", &[("actor", *actor as u64)]);
        sim.count_all(Work::Resume, |one| one.actor == *actor);
    }
    // Counted before: from here on it is not paused.
    sim.remote
        .send(Command::Resume(pause.instances, wait_group().token()));
}

/// Another process accepts, this one again, or another one for good.
pub(crate) fn standby(sim: &mut Simulation, standby: Standby) {
    let (work, name) = match &standby {
        Standby::Suspend => (Work::Suspend, "standby: suspend"),
        Standby::Resume => (Work::Reclaim, "standby: resume"),
        Standby::HandOff { .. } => (Work::HandOff, "standby: hand off"),
    };
    sim.trace.step(name, &[]);
    sim.count_all(work, |_| true);
    sim.control.suspended = !matches!(standby, Standby::Resume);
    if let Standby::HandOff { gone, .. } = &standby {
        sim.control.handed_off = true;
        let gone = Arc::clone(gone);
        let taken_back = sim
            .control
            .pauses
            .iter()
            .position(|one| *one.instances == *gone);
        if let Some(place) = taken_back {
            sim.control.pauses.remove(place);
        }
        let all: Vec<usize> = (0..sim.actors.len()).collect();
        for actor in all {
            let Some(one) = sim.actors.get_mut(actor) else {
                continue;
            };
            if gone.contains(&one.instance.index()) {
                (one.left, one.fenced) = (true, one.traits.exclusive);
                reload::mark_draining(sim, |one| one.actor == actor);
            }
        }
        reload::mark_draining(sim, |one| one.kind != Kind::Stream);
        for of in &mut sim.control.services {
            (of.listener, of.port, of.service) = (None, None, None);
        }
    }
    sim.remote
        .send(Command::Standby(standby, wait_group().token()));
}

/// The shutdown reaches a phase.
pub(crate) fn announce(sim: &mut Simulation, grace: Option<u64>) {
    let now = sim.now();
    let phase = match grace {
        Some(grace) => {
            sim.control.deadline = now + grace;
            Phase::Drain {
                deadline: sim.remote.clock.instant(now + grace),
            }
        }
        None => Phase::Force,
    };
    let (work, name) = match phase {
        Phase::Drain { .. } => (Work::Drain, "phase: drain"),
        Phase::Force => (Work::Force, "phase: force"),
    };
    sim.trace.step(name, &[("grace", grace.unwrap_or(0))]);
    sim.count_all(work, |_| true);
    sim.control.phase = Some(phase);
    sim.control.pauses.clear();
    reload::mark_draining(sim, |_| true);
    for of in &mut sim.control.services {
        (of.listener, of.port, of.service) = (None, None, None);
    }
    sim.remote.send(Command::Phase(phase));
}
