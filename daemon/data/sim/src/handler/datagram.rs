//! Callbacks of sockets and flows.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{
    PpAddr, PpDatagram, PpFlowInfo, PpId, PpSlice, PpSocketInfo, PpSource, PpStatus,
};

use super::{
    actions, add_object, attach, begin, dials, end, output, peer_name, port_of, stream, transfer,
    verdict,
};
use crate::counts::{Kind, Work};
use crate::datagrams::read_payload;
use crate::object::Object;
use crate::simulation::{Simulation, with};

fn text(slice: PpSlice) -> String {
    if slice.len == 0 {
        return String::new();
    }
    // SAFETY: text that the host lends for the running call.
    let bytes = unsafe { std::slice::from_raw_parts(slice.ptr.cast::<u8>(), slice.len) };
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) unsafe extern "C" fn socket_open(
    this: *mut c_void,
    id: PpId,
    info: *const PpSocketInfo,
    state: *mut *mut c_void,
) -> PpStatus {
    let actor = this.addr() - 1;
    // SAFETY: lent for this call.
    let info = unsafe { *info };
    with(|sim| add_object(sim, id, actor));
    begin(
        "socket_open",
        this,
        std::ptr::null_mut(),
        id,
        &[("flags", info.flags.into())],
    );
    let listener = text(info.listener);
    with(|sim| {
        let port = port_of(&listener);
        if let Some(object) = sim.objects.get_mut(&id) {
            object.port = port;
        }
        if info.flags & abi::PP_INFO_OUTBOUND != 0 {
            dials::dial_opened(sim, id, info.tag);
        }
    });
    // SAFETY: a place for a pointer, lent for this call.
    let status = stream::finish_open(id, 2, unsafe { &mut *state });
    if status < 0 {
        // What has come is not shown to anybody, until another takes the socket.
        with(|sim| excuse_port(sim, id));
    }
    status
}

pub(crate) unsafe extern "C" fn flow_open(
    this: *mut c_void,
    id: PpId,
    info: *const PpFlowInfo,
    state: *mut *mut c_void,
) -> PpStatus {
    let actor = this.addr() - 1;
    // SAFETY: lent for this call.
    let info = unsafe { *info };
    with(|sim| add_object(sim, id, actor));
    begin(
        "flow_open",
        this,
        std::ptr::null_mut(),
        id,
        &[("flags", info.flags.into())],
    );
    let peer = peer_name(id);
    with(|sim| {
        attach(sim, id, &peer);
        place_flow(sim, id, info.socket);
    });
    // SAFETY: a place for a pointer, lent for this call.
    let status = stream::finish_open(id, 4, unsafe { &mut *state });
    if status < 0 {
        with(|sim| excuse_object(sim, id));
    }
    status
}

pub(crate) unsafe extern "C" fn import_state(
    this: *mut c_void,
    id: PpId,
    info: *const PpFlowInfo,
    _: u32,
    source: *mut PpSource,
    state: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: lent for this call.
    let info = unsafe { *info };
    begin(
        "import_state",
        this,
        std::ptr::null_mut(),
        id,
        &[("flags", info.flags.into())],
    );
    // SAFETY: source and state are lent for this call.
    unsafe { transfer::import(this.addr() - 1, id, info.socket, source, &mut *state) }
}

pub(crate) unsafe extern "C" fn on_datagrams(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    first: *const PpDatagram,
    count: usize,
    stride: usize,
) -> PpStatus {
    begin("on_datagrams", this, state, id, &[("count", count as u64)]);
    let mut last = 0;
    for place in 0..count {
        // SAFETY: `count` datagrams stand there, `stride` apart, lent for this call.
        let (datagram, bytes) = unsafe {
            let datagram = *first.byte_add(place * stride);
            (
                datagram,
                std::slice::from_raw_parts(datagram.ptr.cast::<u8>(), datagram.len),
            )
        };
        last = datagram.peer;
        match read_payload(bytes) {
            Some((peer, number)) => with(|sim| check_datagram(sim, id, peer, number)),
            None => with(|sim| sim.violate("a datagram arrives cut or mixed")),
        }
    }
    let answers = with(|sim| !sim.calm && sim.random.chance(50));
    if answers {
        let flow = with(|sim| {
            sim.objects
                .get(&id)
                .is_some_and(|one| one.kind == Kind::Flow)
        });
        output::send(id, if flow { 0 } else { last });
    }
    actions::act(id);
    end(verdict(id, 1))
}

pub(crate) unsafe extern "C" fn on_send_error(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    _: *const PpAddr,
    errno: i32,
) -> PpStatus {
    begin(
        "on_send_error",
        this,
        state,
        id,
        &[("errno", i64::from(errno).cast_unsigned())],
    );
    with(|sim| {
        if let Some(object) = sim.objects.get_mut(&id) {
            object.send_errors += 1;
        }
    });
    actions::act(id);
    end(verdict(id, 1))
}

/// A flow is of a socket; a peer has one flow at a port.
pub(crate) fn place_flow(sim: &mut Simulation, id: u64, socket: u64) {
    let port = sim.objects.get(&socket).and_then(|one| one.port);
    let group = sim.objects.get(&socket).map_or(socket, |one| one.group);
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    (object.port, object.socket, object.group) = (port, socket, group);
    let (number, peer) = (object.number, object.peer);
    let is_twin = |one: &&Object| {
        let same = port.is_some() && (one.port, one.peer) == (port, peer);
        same && one.id != id && one.kind == Kind::Flow && one.is_open()
    };
    // The end of one without state is not notified.
    let twin = sim
        .objects
        .values()
        .find(|one| is_twin(one) && sim.remote.instance_of(one.id).is_some());
    if let Some(twin) = twin {
        let text = format!(
            "flow {number} opens while its peer has flow {}",
            twin.number
        );
        sim.violate(text);
    }
}

/// A datagram has arrived: in order, once, and none before it is missing.
pub(crate) fn check_datagram(sim: &mut Simulation, id: u64, peer: u64, number: u64) {
    let peer = usize::try_from(peer).unwrap_or(usize::MAX);
    let now = sim.now();
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    object.last_data = now;
    if object.peer.is_none() && object.kind == Kind::Flow {
        object.peer = Some(peer);
    }
    let (of, kind, mut port) = (object.number, object.kind.name(), object.port);
    let socket = object.socket;
    if port.is_none() {
        port = sim.objects.get(&socket).and_then(|one| one.port);
    }
    sim.count(Work::Data, id);
    let Some(port) = port else { return };
    let Some(one) = sim.peers.datagram.get_mut(peer) else {
        return;
    };
    let (Some(delivered), Some(excused)) = (one.delivered.get_mut(port), one.excused.get(port))
    else {
        return;
    };
    let before = std::mem::replace(delivered, number);
    if number <= before {
        sim.violate(format!(
            "{kind} {of}: datagram {number} of peer {peer} after {before}"
        ));
    } else if number != before + 1 && !excused {
        sim.violate(format!(
            "{kind} {of}: datagrams of peer {peer} are missing between {before} and {number}"
        ));
    }
}

/// Datagrams of this peer at this port may be missing from now on.
pub(crate) fn excuse(sim: &mut Simulation, peer: usize, port: usize) {
    let excused = sim
        .peers
        .datagram
        .get_mut(peer)
        .and_then(|one| one.excused.get_mut(port));
    if let Some(excused) = excused {
        *excused = true;
    }
}

pub(crate) fn excuse_object(sim: &mut Simulation, id: u64) {
    let object = sim.objects.get(&id).map(|one| (one.peer, one.port));
    if let Some((Some(peer), Some(port))) = object {
        excuse(sim, peer, port);
    }
}

/// Datagrams of all peers at a socket's port may be missing.
pub(crate) fn excuse_port(sim: &mut Simulation, id: u64) {
    if let Some(port) = sim.objects.get(&id).and_then(|one| one.port) {
        for peer in 0..sim.peers.datagram.len() {
            excuse(sim, peer, port);
        }
    }
}
