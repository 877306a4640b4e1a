//! Callbacks that streams, sockets and flows have in common.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{PpId, PpNanos, PpStatus};

use super::{actions, begin, dials, end, transfer, verdict};
use crate::counts::{Kind, Work};
use crate::handler::datagram;
use crate::model;
use crate::object::Phase;
use crate::simulation::{Simulation, with};

pub(crate) unsafe extern "C" fn on_writable(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
) -> PpStatus {
    begin("on_writable", this, state, id, &[]);
    with(|sim| check_notice(sim, "on_writable", id, 0));
    actions::act(id);
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn on_wake(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    bits: u64,
) -> PpStatus {
    begin("on_wake", this, state, id, &[("bits", bits)]);
    with(|sim| check_notice(sim, "on_wake", id, bits));
    if with(|sim| sim.calm) {
        actions::settle(id);
    } else {
        actions::act(id);
    }
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn on_timer(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    key: u32,
) -> PpStatus {
    begin("on_timer", this, state, id, &[("key", key.into())]);
    with(|sim| {
        check_notice(sim, "on_timer", id, key.into());
        sim.count(Work::Timer, id);
    });
    actions::act(id);
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn on_drain(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    deadline: PpNanos,
) -> PpStatus {
    begin("on_drain", this, state, id, &[("deadline", deadline)]);
    let closes = with(|sim| {
        check_notice(sim, "on_drain", id, 0);
        sim.calm || sim.random.chance(60)
    });
    actions::act(id);
    if closes {
        actions::close(id, abi::PP_CLOSE_FLUSH);
    }
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn on_dial_failed(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    tag: u64,
    why: PpStatus,
) -> PpStatus {
    begin(
        "on_dial_failed",
        this,
        state,
        id,
        &[("tag", tag), ("why", i64::from(why).cast_unsigned())],
    );
    with(|sim| {
        dials::dial_failed(sim, tag, id);
        sim.count(Work::DialFailed, id);
    });
    actions::act(id);
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn closed(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    reason: u32,
) -> PpStatus {
    begin("closed", this, state, id, &[("reason", reason.into())]);
    let (actor, state) = (this.addr() - 1, state.addr());
    let moved = with(|sim| check_closed(sim, actor, id, reason));
    let is_new = |sim: &mut Simulation| {
        let object = sim.objects.get(&id);
        object.is_some_and(|one| one.is_imported_by(actor, state))
    };
    if moved && with(is_new) {
        // Another member of its group cannot move, so none does.
        actions::as_stranger(id);
        with(|sim| transfer::drop_import(sim, id));
    } else if moved {
        actions::as_stranger(id);
        with(|sim| transfer::commit_import(sim, id));
    } else {
        actions::after_end(id);
    }
    end(abi::PP_OK)
}

/// A callback that is due once something was asked for.
pub(crate) fn check_notice(sim: &mut Simulation, name: &str, id: u64, value: u64) {
    let now = sim.now();
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    let number = object.number;
    let mut fault = None;
    match name {
        "on_wake" => {
            if value & !(object.woken | object.maybe_woken) != 0 {
                fault = Some("woken with bits that nobody set");
            }
            // What was not pending has come for the second time.
            object.maybe_woken &= object.woken | !value;
            object.woken &= !value;
        }
        "on_timer" => {
            let key = u32::try_from(value).unwrap_or(u32::MAX);
            match object.timers.get_mut(&key) {
                None => fault = Some("a timer has fired that is not set"),
                Some(timer) if timer.due > now => fault = Some("a timer has fired early"),
                Some(timer) if timer.period != 0 => {
                    timer.due = now + timer.period.max(1_000_000);
                }
                Some(_) => drop(object.timers.remove(&key)),
            }
        }
        "on_writable" => {
            let maybe = std::mem::take(&mut object.stream.maybe_owed);
            if !(object.stream.owed || object.owed || maybe) {
                fault = Some("writable, though the handler does not wait for it");
            }
            (object.stream.owed, object.owed) = (false, false);
        }
        _ => {
            if std::mem::replace(&mut object.drained, true) {
                fault = Some("drained twice");
            }
            object.draining = true;
        }
    }
    if let Some(fault) = fault {
        sim.violate(format!("object {number}: {fault}"));
    }
}

/// Is this end allowed? Returns whether the object lives on elsewhere.
pub(crate) fn check_closed(sim: &mut Simulation, actor: usize, id: u64, reason: u32) -> bool {
    let Some(object) = sim.objects.get(&id) else {
        return false;
    };
    let (kind, number) = (object.kind.name(), object.number);
    let import = object.import.as_ref().is_some_and(|import| import.done);
    if (reason == abi::PP_END_MIGRATED) != import {
        sim.violate(format!(
            "{kind} {number}: closed for {reason}, import: {import}"
        ));
        return false;
    }
    if import {
        return true;
    }
    let fenced = sim.actors.get(actor).is_some_and(|one| one.fenced);
    // An export that panics ends a flow at once.
    let exported = kind == "flow" && reason == abi::PP_END_PLUGIN_FAULT;
    if sim.is_paused(actor) && !fenced && !exported {
        sim.violate(format!(
            "closed of {kind} {number}, whose actor {actor} is paused"
        ));
    }
    if let Some(text) = model::unreasonable(sim, id, reason) {
        sim.violate(format!("{kind} {number}: closed for {reason}: {text}"));
    }
    if matches!(
        reason,
        abi::PP_END_IDLE | abi::PP_END_FIRST_BYTE | abi::PP_END_WRITE | abi::PP_END_LIFETIME
    ) {
        sim.count(Work::Timeout, id);
    }
    if let Some(object) = sim.objects.get_mut(&id) {
        object.phase = Phase::Ended;
        object.ended_for(reason);
        if object.kind == Kind::Flow
            && let (Some(peer), Some(port)) = (object.peer, object.port)
        {
            datagram::excuse(sim, peer, port);
        }
    }
    false
}
