//! The handlers: functions of the ABI that check each call against the model, note it, and act at random.

pub(crate) mod actions;
pub(crate) mod datagram;
pub(crate) mod dials;
pub(crate) mod notices;
pub(crate) mod output;
pub(crate) mod stream;
pub(crate) mod transfer;

use std::ffi::{CStr, c_void};

use polyport_abi as abi;
use polyport_abi::{PpHost, PpId, PpSlice, PpStatus};

use crate::connections;
use crate::counts::{Kind, Work};
use crate::object::{Object, Phase};
use crate::simulation::{Simulation, with};

/// Checks that a callback may come now, and notes it.
pub(crate) fn begin(
    name: &str,
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    values: &[(&str, u64)],
) {
    let actor = this.addr().wrapping_sub(1);
    let known = with(|sim| {
        if sim.running != 0 {
            sim.violate(format!("{name} is called inside of another callback"));
        }
        sim.running = id;
        sim.objects.contains_key(&id)
    });
    if !known {
        introduce(name, actor, id);
    }
    with(|sim| {
        check_callback(sim, name, actor, state.addr(), id);
        note(sim, name, actor, id, values);
    });
}

/// Ends a callback with what it returns.
pub(crate) fn end(status: PpStatus) -> PpStatus {
    with(|sim| sim.running = 0);
    status
}

/// An object of a handler without state: it is first seen by some other callback than its open.
fn introduce(name: &str, actor: usize, id: PpId) {
    let peer = peer_name(id);
    let listener = attribute(id, c"listener").unwrap_or_default();
    with(|sim| {
        let stateless = sim
            .actors
            .get(actor)
            .is_some_and(|one| !one.traits.stateful);
        if !stateless || kind_of(id) == Some(Kind::Socket) {
            return sim.violate(format!("{name} of an object that was not opened"));
        }
        add_object(sim, id, actor);
        attach(sim, id, &peer);
        if let Some(object) = sim.objects.get_mut(&id) {
            object.port = port_of(&String::from_utf8_lossy(&listener));
        }
    });
}

/// The number of the port that a listener's name has.
pub(crate) fn port_of(listener: &str) -> Option<usize> {
    listener.strip_prefix("unix:")?.parse().ok()
}

/// What the id names.
pub(crate) fn kind_of(id: PpId) -> Option<Kind> {
    match id >> 60 {
        2 => Some(Kind::Stream),
        3 => Some(Kind::Socket),
        6 => Some(Kind::Flow),
        _ => None,
    }
}

pub(crate) fn host() -> &'static PpHost {
    with(|sim| sim.host)
}

/// The peer's name by attribute; empty if there is none.
pub(crate) fn peer_name(id: PpId) -> Vec<u8> {
    attribute(id, c"unix.path").unwrap_or_default()
}

pub(crate) fn attribute(id: PpId, key: &CStr) -> Result<Vec<u8>, PpStatus> {
    let mut value = PpSlice {
        ptr: std::ptr::null(),
        len: 0,
    };
    // SAFETY: key and value are lent for this call, inside of a callback.
    let status = unsafe { (host().attribute)(id, key.as_ptr(), &raw mut value) };
    if status < 0 {
        return Err(status);
    }
    // SAFETY: the host lends the value until the callback returns.
    Ok(unsafe { std::slice::from_raw_parts(value.ptr.cast::<u8>(), value.len) }.to_vec())
}

/// A new object in the model.
pub(crate) fn add_object(sim: &mut Simulation, id: u64, actor: usize) {
    let Some(kind) = kind_of(id) else {
        return sim.violate(format!("a callback about {id:#x}, which is no object"));
    };
    let number = sim.objects.len() as u64 + 1;
    let object = Object::new(id, kind, number, actor, sim.now());
    sim.objects.insert(id, object);
    if sim.control.phase.is_some()
        && let Some(object) = sim.objects.get_mut(&id)
    {
        object.draining = true;
    }
}

/// Connects a stream or flow of the model to its peer, by the peer's name.
pub(crate) fn attach(sim: &mut Simulation, id: u64, peer: &[u8]) {
    let name = String::from_utf8_lossy(peer);
    let Some(last) = name.rsplit('-').next() else {
        return;
    };
    if kind_of(id) == Some(Kind::Stream) {
        connections::accept_dials(sim);
        let slot = last
            .strip_prefix('l')
            .and_then(|slot| slot.parse::<usize>().ok());
        let tag = slot.and_then(|slot| sim.peers.slots.get(slot)?.tag);
        if let Some(tag) = tag {
            return dials::dial_opened(sim, id, tag);
        }
        if let Ok(number) = last.parse() {
            connect(sim, id, number);
        }
        return;
    }
    let peer = sim.peers.datagram.iter().position(|one| one.name == peer);
    if let Some(object) = sim.objects.get_mut(&id) {
        object.peer = peer;
    }
}

pub(crate) fn connect(sim: &mut Simulation, id: u64, number: usize) {
    if let Some(connection) = sim.peers.connections.get_mut(number)
        && let Some(object) = sim.objects.get_mut(&id)
    {
        if connection.object.replace(id).is_some() {
            sim.violate(format!("connection {number} was opened twice"));
            return;
        }
        object.stream.connection = Some(number);
        let values = [("stream", object.number), ("connection", number as u64)];
        sim.trace.step("connected", &values);
    }
}

/// May this callback come? A violation if not.
pub(crate) fn check_callback(
    sim: &mut Simulation,
    name: &str,
    actor: usize,
    state: usize,
    id: u64,
) {
    let Some(object) = sim.objects.get(&id) else {
        return;
    };
    let (kind, number, has) = (object.kind.name(), object.number, object.state);
    let opens = matches!(name, "open" | "socket_open" | "flow_open");
    if object.phase == Phase::Ended && !opens {
        return sim.violate(format!("{name} of {kind} {number}, which has ended"));
    }
    let Some(one) = sim.actors.get(actor) else {
        return sim.violate(format!("{name} with a sim of nobody"));
    };
    let moved = object.import.as_ref().is_some_and(|import| import.done);
    let rolls_back = moved && name == "closed" && object.is_imported_by(actor, state);
    let owner = object.actor;
    let stateless = !one.traits.stateful && kind != "socket";
    if stateless && owner != actor {
        // It moved without a word.
        let was_stateless = sim
            .actors
            .get(owner)
            .is_some_and(|one| !one.traits.stateful);
        if !was_stateless {
            return sim.violate(format!(
                "{name} of {kind} {number} for actor {actor}, though {owner} has it"
            ));
        }
        if let Some(object) = sim.objects.get_mut(&id) {
            object.actor = actor;
            object.stream.want = 1;
        }
    } else if name != "import_state" && !(opens || rolls_back) && (owner != actor || has != state) {
        return sim.violate(format!(
            "{name} of {kind} {number} for actor {actor} with state {state:#x}, though {owner} has it with {has:#x}"
        ));
    }
    if moved && name != "closed" {
        return sim.violate(format!(
            "{name} of {kind} {number} between its import and the end of the old side"
        ));
    }
    // An actor that serves in a snapshot opens and imports what is new to it there, also while it is paused; control
    // sends no such snapshot.
    let ends = matches!(
        name,
        "closed" | "export_state" | "import_state" | "socket_open"
    );
    if sim.is_paused(actor) && !ends {
        sim.violate(format!(
            "{name} of {kind} {number}, whose actor {actor} is paused"
        ));
    }
}

pub(crate) fn note(
    sim: &mut Simulation,
    name: &str,
    actor: usize,
    id: u64,
    values: &[(&str, u64)],
) {
    let object = sim
        .objects
        .get(&id)
        .map(|one| (one.kind.name(), one.number));
    let (kind, number) = object.unwrap_or(("object", 0));
    let mut all = vec![(kind, number), ("actor", actor as u64)];
    all.extend_from_slice(values);
    sim.trace.callback(name, &all);
}

/// What a callback returns: well, or now and then an error.
pub(crate) fn verdict(id: PpId, percent: u64) -> PpStatus {
    with(|sim| {
        if sim.calm || !sim.random.chance(percent) {
            return abi::PP_OK;
        }
        sim.count(Work::Fault, id);
        if let Some(object) = sim.objects.get_mut(&id)
            && object.kind != Kind::Socket
        {
            object.faulted = true;
            if let (Some(peer), Some(port)) = (object.peer, object.port) {
                datagram::excuse(sim, peer, port);
            }
        }
        abi::PP_E_FAIL
    })
}
