//! What must hold of a worker that has come to rest, and at the end of a run.

use std::sync::atomic::Ordering;

use polyport_abi as abi;

use crate::counts::Kind;
use crate::handler::dials;
use crate::object::Object;
use crate::simulation::Simulation;

const MS: u64 = 1_000_000;

/// Why an end for this reason cannot be; `None` if it can.
pub(crate) fn unreasonable(sim: &Simulation, id: u64, reason: u32) -> Option<&'static str> {
    let object = sim.objects.get(&id)?;
    let traits = sim.actors.get(object.actor)?.traits;
    let side = &object.stream;
    let connection = side
        .connection
        .and_then(|one| sim.peers.connections.get(one));
    let age = sim.now() - object.opened;
    let says = |allowed: bool, text: &'static str| (!allowed).then_some(text);
    match reason {
        abi::PP_END_DONE => says(
            traits.ignores_data || side.fin_shown && side.fin_written,
            "one direction has not ended",
        ),
        abi::PP_END_HANDLER => {
            let socket = sim.objects.get(&object.socket);
            // A socket takes its flows and the superseded sockets of its port along.
            let mut port = sim
                .objects
                .values()
                .filter(|one| one.kind == Kind::Socket && one.port == object.port);
            let by_socket = socket.is_some_and(|one| one.close.is_some())
                || object.kind != Kind::Stream && port.any(|one| one.close.is_some());
            says(
                object.close.is_some() || by_socket,
                "the handler has not closed it",
            )
        }
        abi::PP_END_PEER_RESET => says(
            connection.is_none_or(|one| one.socket.is_none()),
            "the peer is there",
        ),
        abi::PP_END_IDLE if object.kind == Kind::Flow => None,
        abi::PP_END_IDLE => {
            // What was read and not delivered counts from the read.
            let sent = connection.map_or(0, |one| one.last_sent);
            let last = object.last_data.min(sent.max(object.opened));
            says(sim.now() - last >= 100 * MS, "it was not idle for so long")
        }
        abi::PP_END_FIRST_BYTE => says(age >= 50 * MS, "it is too young"),
        abi::PP_END_LIFETIME => says(age >= 1000 * MS, "it is too young"),
        abi::PP_END_WRITE => says(age >= 50 * MS, "it is too young"),
        abi::PP_END_TOO_LARGE => says(
            object.close == Some(u32::MAX),
            "no more was wanted than may be kept",
        ),
        abi::PP_END_PARTIAL => says(
            connection.is_none_or(|one| one.fin || one.socket.is_none()),
            "the peer has not ended",
        ),
        abi::PP_END_PLUGIN_FAULT => says(object.faulted, "no callback has failed"),
        abi::PP_END_DRAIN => says(may_drain(sim, object), "nothing drains it"),
        abi::PP_END_FORCED => says(may_drain(sim, object), "nothing forces it"),
        _ => Some("there is no such reason"),
    }
}

/// Does its actor not hear of its end?
pub(crate) fn is_stateless(sim: &Simulation, id: u64) -> bool {
    sim.objects.get(&id).is_some_and(|one| {
        let actor = sim.actors.get(one.actor);
        one.kind != Kind::Socket && actor.is_some_and(|one| !one.traits.stateful)
    })
}

/// An object of an actor without state has ended.
pub(crate) fn ended_silently(sim: &mut Simulation, id: u64) {
    if let Some(object) = sim.objects.get_mut(&id) {
        object.phase = crate::object::Phase::Ended;
        object.ended_for(0);
    }
}

/// Is there a cause for a drain?
pub(crate) fn may_drain(sim: &Simulation, object: &Object) -> bool {
    let left = sim.actors.get(object.actor).is_some_and(|one| one.left);
    let serves = sim
        .control
        .services
        .iter()
        .any(|of| of.actor == object.actor && of.service.is_some());
    let had = sim
        .control
        .services
        .iter()
        .find(|of| of.actors.contains(&object.actor));
    let replaced =
        object.kind != Kind::Stream && (!serves || had.is_some_and(|of| of.actors.len() > 1));
    object.draining || left || replaced || sim.control.phase.is_some() || sim.control.handed_off
}

/// The worker has nothing to do at once: everything that was due has come.
pub(crate) fn check_rest(sim: &mut Simulation) {
    let open: Vec<u64> = sim
        .objects
        .values()
        .filter(|one| one.is_open())
        .map(|one| one.id)
        .collect();
    for id in open {
        if !is_stateless(sim, id) {
            continue;
        }
        // Neither its move nor its end is notified.
        match sim.remote.instance_of(id) {
            None => ended_silently(sim, id),
            Some(index) => {
                let now = sim
                    .actors
                    .iter()
                    .position(|one| one.instance.index() == index);
                if let (Some(now), Some(object)) = (now, sim.objects.get_mut(&id))
                    && std::mem::replace(&mut object.actor, now) != now
                {
                    object.stream.want = 1;
                }
            }
        }
    }
    let now = sim.now();
    let mut found = None;
    for object in sim.objects.values().filter(|one| one.is_open()) {
        if sim.is_paused(object.actor) || is_fenced(sim, object) || object.is_closing() {
            continue;
        }
        // The grace of a socket may be over while it waits for a superseded one that is paused.
        if object.kind == Kind::Socket && object.draining && !sim.control.pauses.is_empty() {
            continue;
        }
        let late = |timer: &crate::object::Timer| timer.due + 2 * MS <= now;
        let text = if object.woken != 0 {
            Some("a wake is lost")
        } else if object.timers.values().any(late) {
            Some("a timer is lost")
        } else {
            waiting(sim, object)
        };
        if let Some(text) = text {
            found = Some(format!("{} {}: {text}", object.kind.name(), object.number));
            break;
        }
    }
    if let Some(found) = found {
        sim.violate(found);
    }
    check_permits(sim);
}

pub(crate) fn is_fenced(sim: &Simulation, object: &Object) -> bool {
    sim.actors.get(object.actor).is_some_and(|one| one.fenced)
}

/// What a stream waits for in vain.
pub(crate) fn waiting(sim: &Simulation, object: &Object) -> Option<&'static str> {
    let side = &object.stream;
    let connection = sim.peers.connections.get(side.connection?)?;
    connection.socket.as_ref()?;
    let traits = sim.actors.get(object.actor)?.traits;
    let sent_all = connection.received == side.written;
    if side.owed && sent_all {
        return Some("there is room, and it is not writable");
    }
    if side.reads_off || !sent_all || side.fin_shown || traits.ignores_data {
        return None;
    }
    let available = usize::try_from(connection.sent - side.consumed).unwrap_or(usize::MAX);
    if available > side.unused && available >= side.want {
        return Some("bytes are not delivered");
    }
    (connection.fin && available == 0).then_some("the end is not delivered")
}

/// Permits in use are not more than there are, and not more than live.
pub(crate) fn check_permits(sim: &mut Simulation) {
    let limits = sim.control.services.iter().map(|of| &of.limit);
    let over = limits
        .chain([&sim.control.daemon_limit])
        .any(|limit| limit.used() > limit.max());
    if over {
        sim.violate("more permits are out than there are");
    }
}

/// The worker has ended: nothing is left.
pub(crate) fn check_end(sim: &mut Simulation) {
    let stateless = |object: &Object| {
        object.kind != Kind::Socket
            && sim
                .actors
                .get(object.actor)
                .is_some_and(|one| !one.traits.stateful)
    };
    let open = sim
        .objects
        .values()
        .find(|one| one.is_open() && !stateless(one));
    if let Some(open) = open {
        let text = format!("{} {} has not ended", open.kind.name(), open.number);
        sim.violate(text);
    }
    if sim.remote.live() != 0 {
        sim.violate("the worker's table is not empty");
    }
    let limits = sim.control.services.iter().map(|of| &of.limit);
    let used: u64 = limits
        .chain([&sim.control.daemon_limit])
        .map(|limit| limit.used())
        .sum();
    if used != 0 {
        sim.violate(format!("{used} permits have not come back"));
    }
    for number in 0..sim.actors.len() {
        let Some(actor) = sim.actors.get(number) else {
            continue;
        };
        let (live, in_use) = (actor.live.load(Ordering::Relaxed), actor.in_use.is_empty());
        if live != 0 {
            sim.violate(format!(
                "{live} objects of actor {number} are counted as alive"
            ));
        } else if !in_use {
            sim.violate(format!("actor {number} is still in use"));
        }
    }
}

/// Failed dials of instances.
pub(crate) fn take_failed_dials(sim: &mut Simulation) {
    for actor in 0..sim.actors.len() {
        let failed = sim
            .actors
            .get(actor)
            .map(|one| one.hook_thread.take_failed_dials());
        for (tag, _) in failed.unwrap_or_default() {
            sim.trace
                .step("dial of an instance failed", &[("tag", tag)]);
            dials::dial_failed(sim, tag, 0);
        }
    }
}
