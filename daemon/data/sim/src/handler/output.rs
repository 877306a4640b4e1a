//! Output that handlers write, and datagrams that they send.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{PpId, PpOut, PpSlice, PpStatus};

use super::{actions, host, transfer};
use crate::counts::{Kind, Work};
use crate::datagrams::payload;
use crate::object::Effect;
use crate::pattern;
use crate::simulation::{Simulation, with};

pub(super) fn write(id: PpId, target: PpId, len: usize, fin: bool) {
    let bytes = with(|sim| output(sim, target, len));
    let slice = PpSlice {
        ptr: bytes.as_ptr().cast::<c_void>(),
        len: bytes.len(),
    };
    let flags = if fin { abi::PP_WRITE_FIN } else { 0 };
    // SAFETY: one slice, lent for this call; inside of a callback.
    let status = unsafe { (host().write)(target, &raw const slice, 1, flags) };
    with(|sim| written(sim, id, target, bytes.len(), fin, status));
}

pub(super) fn reserve(id: PpId, target: PpId, len: usize) {
    let bytes = with(|sim| output(sim, target, len));
    let mut room = std::ptr::null_mut();
    // SAFETY: a place for a pointer, lent for this call; inside of a callback.
    let mut status = unsafe { (host().reserve)(target, len, &raw mut room) };
    if status >= 0 {
        // SAFETY: the host has lent `len` bytes until the commit.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.cast::<u8>(), len);
            status = (host().commit)(target, len, 0);
        }
        with(|sim| sim.count(Work::Reserve, target));
    }
    with(|sim| written(sim, id, target, len, false, status));
}

/// The next bytes of a stream.
pub(crate) fn output(sim: &mut Simulation, id: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    let Some(object) = sim.objects.get(&id) else {
        return bytes;
    };
    // Imports of other members of its group may have written to it.
    let imports = sim.objects.values().filter_map(|one| one.import.as_ref());
    let staged: u64 = imports
        .flat_map(|import| &import.effects)
        .map(|(about, effect)| match effect {
            Effect::Write(len) if *about == id => *len,
            _ => 0,
        })
        .sum();
    let key = object
        .stream
        .connection
        .and_then(|one| sim.peers.connections.get(one))
        .map_or(0, |one| one.key_out);
    pattern::fill(key, object.stream.written + staged, len, &mut bytes);
    bytes
}

pub(crate) fn written(
    sim: &mut Simulation,
    _: u64,
    target: u64,
    len: usize,
    fin: bool,
    status: PpStatus,
) {
    let allowed = &[abi::PP_E_GONE, abi::PP_E_FULL, abi::PP_E_CLOSING];
    actions::check_status(sim, "write", target, status, allowed);
    if status >= 0 {
        sim.count(if fin { Work::WriteFin } else { Work::Write }, target);
        if len != 0 {
            transfer::effect(sim, target, Effect::Write(len as u64));
        }
        if fin {
            transfer::effect(sim, target, Effect::Fin);
        }
    }
    if matches!(status, abi::PP_S_ABOVE_HIGH | abi::PP_E_FULL) {
        transfer::effect(sim, target, Effect::Owed);
    }
}

pub(crate) fn write_len(sim: &mut Simulation) -> usize {
    let len = match sim.random.below(100) {
        0..60 => sim.random.between(1, 200),
        60..90 => sim.random.between(200, 6000),
        90..98 => sim.random.between(6000, 40_000),
        _ => sim.random.between(40_000, 300_000),
    };
    usize::try_from(len).unwrap_or(1)
}

/// Sends datagrams from a socket or flow; `peer`: to the sender of a datagram of the running batch.
pub(crate) fn send(target: PpId, peer: PpId) {
    let Some((socket, to, datagrams)) = with(|sim| choose_datagrams(sim, target, peer)) else {
        return;
    };
    let outs: Vec<PpOut> = datagrams
        .iter()
        .map(|bytes| PpOut {
            data: PpSlice {
                ptr: bytes.as_ptr().cast::<c_void>(),
                len: bytes.len(),
            },
            peer: to,
            to: std::ptr::null(),
            from: std::ptr::null(),
            flags: 0,
            reserved: 0,
        })
        .collect();
    // SAFETY: a list whose slices are lent for this call; inside of a callback.
    let taken =
        unsafe { (host().send_datagrams)(socket, outs.as_ptr(), outs.len(), size_of::<PpOut>()) };
    with(|sim| {
        let status = i32::try_from(taken.min(0)).unwrap_or(abi::PP_E_FAIL);
        actions::check_status(
            sim,
            "send_datagrams",
            target,
            status,
            &[abi::PP_E_GONE, abi::PP_E_FULL, abi::PP_E_DENIED],
        );
        let Ok(taken) = u64::try_from(taken) else {
            return;
        };
        sim.count(Work::Send, target);
        let short = taken < outs.len() as u64;
        if let Some(object) = sim.objects.get_mut(&target) {
            object.sent += taken;
        }
        if let Some(socket) = sim.objects.get_mut(&socket) {
            socket.owed |= short;
        }
    });
}

/// The socket, the peer and the bytes of datagrams to send.
pub(crate) fn choose_datagrams(
    sim: &mut Simulation,
    target: u64,
    peer: u64,
) -> Option<(u64, u64, Vec<Vec<u8>>)> {
    let count = sim.random.between(1, 3);
    let object = sim.objects.get(&target)?;
    let (socket, to) = match object.kind {
        Kind::Flow => (object.socket, target),
        // A listener's socket has nobody to write to but those who wrote.
        Kind::Socket if peer == 0 && !object.dialled => return None,
        Kind::Socket => (target, peer),
        Kind::Stream => return None,
    };
    let (number, sent) = (object.number, object.sent);
    let datagrams = (1..=count)
        .map(|next| payload(number, sent + next, 20))
        .collect();
    Some((socket, to, datagrams))
}
