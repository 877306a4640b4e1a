//! Snapshots: services that change, move to other actors, and go.

use std::sync::Arc;

use polyport_common::wait_group::wait_group;

use crate::actor::{Actor, Traits};
use crate::control::{random_timeouts, service};
use crate::counts::Work;
use crate::driver::{Command, Leaving, Snapshot};
use crate::object::Object;
use crate::simulation::Simulation;

/// Makes services anew that have none, and sends a snapshot of all.
pub(crate) fn send_snapshot(sim: &mut Simulation) {
    for place in 0..sim.control.services.len() {
        let Some(of) = sim.control.services.get(place) else {
            continue;
        };
        if of.service.is_none() && of.listener.is_some() {
            let service = service(sim, &of.name, of.actor, of);
            if let Some(of) = sim.control.services.get_mut(place) {
                of.service = service;
            }
        }
    }
    for number in 0..sim.actors.len() {
        let paused = sim.control.has_pause(number);
        if let Some(one) = sim.actors.get_mut(number) {
            one.fenced |= one.left && one.traits.exclusive && paused;
        }
    }
    let control = &mut sim.control;
    control.number += 1;
    let serving = || {
        control
            .services
            .iter()
            .filter_map(|one| Some((one, one.service.as_ref()?)))
    };
    let snapshot = Snapshot {
        number: control.number,
        services: serving().map(|(_, service)| Arc::clone(service)).collect(),
        listeners: serving()
            .filter_map(|(one, service)| {
                Some((Arc::clone(one.listener.as_ref()?), Arc::clone(service)))
            })
            .collect(),
        sockets: serving()
            .filter_map(|(one, service)| {
                Some((Arc::clone(one.port.as_ref()?), Arc::clone(service)))
            })
            .collect(),
        leaving: control.leaving.clone(),
    };
    let applied = wait_group();
    let number = control.number;
    sim.remote
        .send(Command::Snapshot(Arc::new(snapshot), applied.token()));
    sim.control.snapshots.push(applied);
    sim.trace.step("snapshot", &[("number", number)]);
}

/// Other timeouts and limits for a service, the same actor.
pub(crate) fn renew(sim: &mut Simulation, place: usize) {
    let timeouts = random_timeouts(&mut sim.random);
    let Some(of) = sim.control.services.get_mut(place) else {
        return;
    };
    if of.service.take().is_none() {
        return;
    }
    of.timeouts = timeouts;
    let actor = of.actor;
    sim.trace.step("renew", &[("service", place as u64)]);
    sim.count_all(Work::Renew, |one| one.actor == actor);
    send_snapshot(sim);
}

/// Another actor for a service: a new one, or one that it has had before and that has not left.
pub(crate) fn replace(sim: &mut Simulation, place: usize, leaves: Option<Option<u64>>) {
    let Some(of) = sim.control.services.get(place) else {
        return;
    };
    if of.service.is_none() {
        return;
    }
    let (before, had) = (of.actor, of.actors.clone());
    let back = had.iter().copied().filter(|one| {
        *one != before
            && !sim.control.has_pause(*one)
            && sim.actors.get(*one).is_some_and(|one| !one.left)
    });
    let back: Vec<usize> = back.collect();
    let next = match sim.random.pick(&back) {
        Some(next) if sim.random.chance(25) => next,
        _ => new_actor(sim, Some(before)),
    };
    let Some(of) = sim.control.services.get_mut(place) else {
        return;
    };
    of.actor = next;
    of.service = None;
    if !of.actors.contains(&next) {
        of.actors.push(next);
    }
    sim.trace.step(
        "replace",
        &[
            ("service", place as u64),
            ("before", before as u64),
            ("next", next as u64),
        ],
    );
    let moves = |one: usize| sim.actors.get(one).is_some_and(|one| one.traits.moves);
    let work = if moves(before) && moves(next) {
        Work::Move
    } else {
        Work::Replace
    };
    if work == Work::Replace {
        sim.count_all(work, |one| one.actor == before);
    }
    // Old code whose state lives in one place only leaves at once.
    let exclusive = sim
        .actors
        .get(before)
        .is_some_and(|one| one.traits.exclusive);
    match leaves {
        None if !exclusive => {}
        until => retire(sim, before, until.flatten()),
    }
    send_snapshot(sim);
}

/// An actor serves nothing any more.
pub(crate) fn retire(sim: &mut Simulation, actor: usize, until: Option<u64>) {
    let Some(one) = sim.actors.get_mut(actor) else {
        return;
    };
    one.left = true;
    let instance = one.instance.index();
    let until_instant = until.map(|at| sim.remote.clock.instant(at));
    sim.control.leaving.retain(|one| one.instance != instance);
    sim.control.leaving.push(Leaving {
        instance,
        until: until_instant,
    });
    sim.trace.step(
        "leave",
        &[("actor", actor as u64), ("until", until.unwrap_or(0))],
    );
    let work = if until.is_some() {
        Work::LeaveUntil
    } else {
        Work::Leave
    };
    sim.count_all(work, |one| one.actor == actor);
    if until.is_some() {
        mark_draining(sim, |one| one.actor == actor);
    }
}

/// A service is removed.
pub(crate) fn remove(sim: &mut Simulation, place: usize) {
    let Some(of) = sim.control.services.get_mut(place) else {
        return;
    };
    if of.service.take().is_none() {
        return;
    }
    (of.listener, of.port) = (None, None);
    let actors = of.actors.clone();
    sim.trace.step("remove", &[("service", place as u64)]);
    sim.count_all(Work::Remove, |one| actors.contains(&one.actor));
    for actor in actors {
        if sim.actors.get(actor).is_some_and(|one| !one.left) {
            retire(sim, actor, None);
        }
        mark_draining(sim, |one| one.actor == actor);
    }
    send_snapshot(sim);
}

pub(crate) fn mark_draining(sim: &mut Simulation, fits: impl Fn(&Object) -> bool) {
    let fitting = sim.objects.values_mut().filter(|one| fits(one));
    fitting.for_each(|one| one.draining = true);
}

/// A new actor, with the traits of another in three of four cases.
pub(crate) fn new_actor(sim: &mut Simulation, like: Option<usize>) -> usize {
    let mut traits = Traits::random(&mut sim.random);
    if let Some(like) = like.and_then(|one| sim.actors.get(one))
        && sim.random.chance(70)
    {
        (traits.stateful, traits.moves) = (like.traits.stateful, like.traits.moves);
        traits.exclusive = like.traits.exclusive;
        traits.ignores_data &= traits.stateful && !traits.moves;
        traits.flows_max = like.traits.flows_max;
    }
    let number = sim.actors.len();
    sim.trace
        .step(&format!("new actor {number}: {traits:?}"), &[]);
    match Actor::new(&sim.remote.registry, number, traits) {
        Ok(actor) => sim.actors.push(actor),
        Err(error) => sim.violate(format!("no actor: {error:#}")),
    }
    number
}
