//! Callbacks of streams, and those that all kinds have in common.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{PpId, PpStatus, PpStreamInfo};

use super::{actions, add_object, attach, begin, connect, dials, end, peer_name, verdict};
use crate::counts::Work;
use crate::object::Phase;
use crate::pattern;
use crate::simulation::{Simulation, with};

pub(crate) unsafe extern "C" fn open(
    this: *mut c_void,
    id: PpId,
    info: *const PpStreamInfo,
    state: *mut *mut c_void,
) -> PpStatus {
    let actor = this.addr() - 1;
    with(|sim| add_object(sim, id, actor));
    // SAFETY: lent for this call.
    let info = unsafe { *info };
    begin(
        "open",
        this,
        std::ptr::null_mut(),
        id,
        &[("flags", info.flags.into())],
    );
    let name = peer_name(id);
    with(|sim| {
        if info.flags & abi::PP_INFO_OUTBOUND != 0 {
            dials::dial_opened(sim, id, info.tag);
        } else if info.remote.family == abi::PP_FAMILY_V4 {
            connect(sim, id, usize::from(info.remote.port) - 1);
        } else {
            attach(sim, id, &name);
        }
    });
    // SAFETY: a place for a pointer, lent for this call.
    finish_open(id, 4, unsafe { &mut *state })
}

/// The end of an open: refuses now and then, else gives the object a state and acts.
pub(super) fn finish_open(id: PpId, refuses: u64, state: &mut *mut c_void) -> PpStatus {
    let refused = with(|sim| {
        let refused = !sim.calm && sim.random.chance(refuses);
        let Some(object) = sim.objects.get_mut(&id) else {
            return refused;
        };
        object.state = usize::try_from(object.number).unwrap_or(0) << 8 | (object.actor & 0xff);
        *state = std::ptr::without_provenance_mut(object.state);
        refused
    });
    actions::act(id);
    if refused {
        with(|sim| {
            if let Some(object) = sim.objects.get_mut(&id) {
                object.phase = Phase::Ended;
                object.faulted = true;
            }
            sim.count(Work::Fault, id);
        });
        return end(abi::PP_E_FAIL);
    }
    end(abi::PP_OK)
}

pub(crate) unsafe extern "C" fn on_data(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    bytes: *const u8,
    len: usize,
    flags: u32,
    want: *mut usize,
) -> i64 {
    let fin = flags & abi::PP_DATA_FIN != 0;
    begin(
        "on_data",
        this,
        state,
        id,
        &[("bytes", len as u64), ("fin", fin.into())],
    );
    let bytes = if len == 0 {
        &[]
    } else {
        // SAFETY: `len` bytes are lent for this call.
        unsafe { std::slice::from_raw_parts(bytes, len) }
    };
    let (used, wanted) = with(|sim| {
        check_data(sim, id, bytes, fin);
        choose_used(sim, id, len, fin)
    });
    // SAFETY: a place for a size, lent for this call.
    unsafe { want.write(wanted) };
    actions::act(id);
    let status = verdict(id, 1);
    with(|sim| {
        if let Some(object) = sim.objects.get_mut(&id) {
            object.stream.consumed += used as u64;
            object.stream.want = wanted;
            object.stream.unused = len - used;
            object.stream.fin_shown |= fin && used == len;
        }
    });
    end(status);
    if status < 0 {
        return status.into();
    }
    i64::try_from(used).unwrap_or(0)
}

pub(crate) fn check_data(sim: &mut Simulation, id: u64, bytes: &[u8], fin: bool) {
    let now = sim.now();
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    if bytes.len() > object.stream.unused {
        object.last_data = now;
    }
    let (number, side) = (object.number, &object.stream);
    let mut faults = Vec::new();
    if side.reads_off {
        faults.push("bytes are delivered while reads are off");
    }
    if bytes.is_empty() && !fin {
        faults.push("no bytes are delivered");
    }
    // A stream without state may have moved meanwhile, which no callback tells.
    if bytes.len() < side.want && !fin && object.state != 0 {
        faults.push("fewer bytes are delivered than wanted");
    }
    if side.fin_shown {
        faults.push("bytes are delivered after the end");
    }
    if object.close.is_some_and(|how| how <= abi::PP_CLOSE_RESET) {
        faults.push("bytes are delivered after the handler has closed");
    }
    if let Some(connection) = side
        .connection
        .and_then(|one| sim.peers.connections.get(one))
    {
        let reach = side.consumed + bytes.len() as u64;
        if !pattern::fits(connection.key_in, side.consumed, bytes) {
            faults.push("a byte is lost, doubled or out of order");
        }
        if reach > connection.sent {
            faults.push("more bytes are delivered than were sent");
        }
        if fin && !(connection.fin || connection.socket.is_none()) {
            faults.push("an end is delivered that was not sent");
        }
        if fin && reach != connection.sent {
            faults.push("the end is delivered before all bytes");
        }
    }
    if let Some(fault) = faults.first() {
        sim.violate(format!("stream {number}: {fault}"));
    }
}

/// How many bytes to use up, and how many to wait for.
pub(crate) fn choose_used(sim: &mut Simulation, id: u64, len: usize, fin: bool) -> (usize, usize) {
    if sim.calm {
        return (len, 1);
    }
    let rest = |used: usize| len - used;
    let choice = sim.random.below(100);
    match choice {
        _ if fin && choice < 95 => (len, 1),
        0..75 => (len, 1),
        75..88 => {
            let used = sim.random.index(len + 1);
            (
                used,
                rest(used) + sim.random.index(64) + usize::from(used == 0),
            )
        }
        88..98 => (0, len + 1 + sim.random.index(300)),
        98 => (0, 0),
        _ => {
            let rare = sim.random.chance(10) && !fin;
            if rare && let Some(object) = sim.objects.get_mut(&id) {
                object.close.get_or_insert(u32::MAX);
            }
            (0, if rare { (1 << 20) + 1 } else { len + 1 })
        }
    }
}
