//! Dials: asked for by handlers, and what comes of them.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{PpAddr, PpDial, PpId, PpSlice};

use super::{actions, connect, host, transfer};
use crate::connections;
use crate::counts::Work;
use crate::object::Effect;
use crate::simulation::{Dial, Simulation, with};

pub(super) fn dial(target: PpId) {
    let (kind, path, slot, tag) = with(choose_dial);
    let dial = PpDial {
        struct_size: u32::try_from(size_of::<PpDial>()).unwrap_or(0),
        flags: 0,
        kind,
        reserved: 0,
        upstream: PpSlice {
            ptr: std::ptr::null(),
            len: 0,
        },
        path: PpSlice {
            ptr: path.as_ptr().cast::<c_void>(),
            len: path.len(),
        },
        addr: PpAddr::default(),
        connect_timeout: 0,
        tag,
    };
    // SAFETY: a dial whose slices are lent for this call; inside of a callback.
    let status = unsafe { (host().dial)(target, &raw const dial) };
    with(|sim| {
        actions::check_status(
            sim,
            "dial",
            target,
            status,
            &[abi::PP_E_GONE, abi::PP_E_FULL, abi::PP_E_CLOSING],
        );
        if status >= 0 {
            sim.count(Work::Dial, target);
            add_dial(sim, target, tag, slot);
            transfer::effect(sim, target, Effect::Dial(tag));
        } else if let Some(slot) = slot.and_then(|slot| sim.peers.slots.get_mut(slot)) {
            slot.tag = None;
        }
    });
}

/// Where to dial: kind, path, slot and tag.
pub(crate) fn choose_dial(sim: &mut Simulation) -> (u32, Vec<u8>, Option<usize>, u64) {
    let tag = sim.dials.len() as u64 + 1;
    if sim.random.chance(25) {
        let peer = sim.random.index(sim.peers.datagram.len());
        let alive = sim
            .peers
            .datagram
            .get(peer)
            .filter(|one| one.socket.is_some());
        let name = alive.map(|one| one.name.clone());
        return (
            abi::PP_DIAL_UNIXGRAM,
            name.unwrap_or_else(|| b"\0sim-nobody".to_vec()),
            None,
            tag,
        );
    }
    let free = sim.peers.slots.iter().position(|slot| slot.tag.is_none());
    match free.filter(|_| sim.random.chance(75)) {
        Some(slot) => {
            let Some(place) = sim.peers.slots.get_mut(slot) else {
                return (abi::PP_DIAL_UNIX, Vec::new(), None, tag);
            };
            place.tag = Some(tag);
            (abi::PP_DIAL_UNIX, place.name.clone(), Some(slot), tag)
        }
        None if sim.random.chance(50) => (abi::PP_DIAL_UNIX, b"\0sim-nobody".to_vec(), None, tag),
        None => (abi::PP_DIAL_UNIX, b"/nowhere".to_vec(), None, tag),
    }
}

pub(crate) fn add_dial(sim: &mut Simulation, owner: u64, tag: u64, slot: Option<usize>) {
    let actor = sim.objects.get(&owner).map_or(0, |one| one.actor);
    let dial = Dial {
        owner,
        actor,
        slot,
        ended: false,
    };
    sim.dials.insert(tag, dial);
}

/// A dial has ended in an open.
pub(crate) fn dial_opened(sim: &mut Simulation, id: u64, tag: u64) {
    connections::accept_dials(sim);
    let Some(dial) = sim.dials.get_mut(&tag) else {
        return sim.violate(format!("a dial opened that nobody asked for: {tag}"));
    };
    if std::mem::replace(&mut dial.ended, true) {
        return sim.violate(format!("dial {tag} has ended twice"));
    }
    let (owner, slot) = (dial.owner, dial.slot);
    if let Some(object) = sim.objects.get_mut(&id) {
        object.dialled = true;
        object.group = if owner == 0 { id } else { owner };
    }
    if let Some(group) = sim.objects.get(&owner).map(|one| one.group)
        && let Some(object) = sim.objects.get_mut(&id)
    {
        object.group = group;
    }
    sim.count(Work::DialOpened, owner);
    if let Some(place) = slot.and_then(|slot| sim.peers.slots.get_mut(slot)) {
        place.tag = None;
        if let Some(number) = place.connection.take() {
            connect(sim, id, number);
        }
    }
}

/// A dial has come to nothing.
pub(crate) fn dial_failed(sim: &mut Simulation, tag: u64, owner: u64) {
    let Some(dial) = sim.dials.get_mut(&tag) else {
        return sim.violate(format!("dial {tag} failed, which nobody asked for"));
    };
    let (ended, of, slot) = (
        std::mem::replace(&mut dial.ended, true),
        dial.owner,
        dial.slot,
    );
    if ended {
        return sim.violate(format!("dial {tag} has ended twice"));
    }
    if of != owner {
        return sim.violate(format!("dial {tag} of {of:#x} failed for {owner:#x}"));
    }
    if let Some(slot) = slot {
        connections::accept_dials(sim);
        if let Some(place) = sim.peers.slots.get_mut(slot) {
            (place.tag, place.connection) = (None, None);
        }
    }
}

/// A dial that was asked for by an import that failed: nothing comes of it.
pub(crate) fn forget_dial(sim: &mut Simulation, tag: u64) {
    if let Some(dial) = sim.dials.get_mut(&tag)
        && !std::mem::replace(&mut dial.ended, true)
        && let Some(slot) = dial.slot.and_then(|slot| sim.peers.slots.get_mut(slot))
    {
        (slot.tag, slot.connection) = (None, None);
    }
}
