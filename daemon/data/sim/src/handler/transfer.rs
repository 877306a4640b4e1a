//! Exports and imports, and what becomes of the effects of an import.

use std::ffi::c_void;

use polyport_abi as abi;
use polyport_abi::{PpId, PpSink, PpSource, PpStatus, PpStreamInfo};

use super::{actions, begin, datagram, dials, end};
use crate::counts::{Kind, Work};
use crate::object::{Effect, Import, Timer};
use crate::simulation::{Simulation, with};

pub(crate) unsafe extern "C" fn export_state(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    sink: *mut PpSink,
) -> PpStatus {
    begin("export_state", this, state, id, &[]);
    if with(|sim| sim.random.chance(20)) {
        with(|sim| sim.exporting = true);
        actions::act(id);
        with(|sim| sim.exporting = false);
    }
    let (bytes, status) = with(|sim| {
        let status = match sim.random.below(100) {
            0..8 if !sim.calm => abi::PP_E_FAIL,
            8..10 if !sim.calm => abi::PP_E_PANIC,
            _ => abi::PP_OK,
        };
        if status < 0 {
            sim.count(Work::ExportFails, id);
        }
        if status == abi::PP_E_PANIC {
            sim.count(Work::Fault, id);
        }
        let Some(object) = sim.objects.get_mut(&id) else {
            return (Vec::new(), status);
        };
        object.faulted |= status == abi::PP_E_PANIC;
        let words = [
            id,
            object.stream.consumed,
            object.stream.written,
            object.state as u64,
        ];
        (words.map(u64::to_le_bytes).concat(), status)
    });
    // SAFETY: the sink is lent for this call, and `bytes` for that of the sink.
    unsafe { ((*sink).write)(sink, bytes.as_ptr().cast::<c_void>(), bytes.len()) };
    end(status)
}

pub(crate) unsafe extern "C" fn import_state(
    this: *mut c_void,
    id: PpId,
    info: *const PpStreamInfo,
    _: u32,
    source: *mut PpSource,
    state: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: lent for this call.
    let flags = unsafe { (*info).flags };
    begin(
        "import_state",
        this,
        std::ptr::null_mut(),
        id,
        &[("flags", flags.into())],
    );
    // SAFETY: source and state are lent for this call.
    unsafe { import(this.addr() - 1, id, 0, source, &mut *state) }
}

/// The common end of an import.
///
/// # Safety
/// `source` is lent for this call.
pub(super) unsafe fn import(
    actor: usize,
    id: PpId,
    socket: u64,
    source: *mut PpSource,
    state: &mut *mut c_void,
) -> PpStatus {
    let mut words = [0_u64; 4];
    for word in &mut words {
        let mut bytes = [0; 8];
        // SAFETY: the source is lent, and reads into eight bytes.
        unsafe { ((*source).read)(source, bytes.as_mut_ptr().cast::<c_void>(), 8) };
        *word = u64::from_le_bytes(bytes);
    }
    with(|sim| begin_import(sim, actor, id, socket, words));
    actions::act(id);
    let status = with(|sim| {
        sim.importing = None;
        let fails = !sim.calm && sim.random.chance(15);
        sim.count(if fails { Work::ImportFails } else { Work::Move }, id);
        let Some(object) = sim.objects.get_mut(&id) else {
            return abi::PP_E_FAIL;
        };
        if fails {
            drop_import(sim, id);
            return abi::PP_E_FAIL;
        }
        let new = usize::try_from(object.number).unwrap_or(0) << 8 | (actor & 0xff);
        *state = std::ptr::without_provenance_mut(new);
        if let Some(import) = &mut object.import {
            (import.state, import.done) = (new, true);
        }
        abi::PP_OK
    });
    end(status)
}

pub(crate) fn begin_import(
    sim: &mut Simulation,
    actor: usize,
    id: u64,
    socket: u64,
    words: [u64; 4],
) {
    sim.importing = Some((id, socket));
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    let expected = [
        id,
        object.stream.consumed,
        object.stream.written,
        object.state as u64,
    ];
    let number = object.number;
    object.import = Some(Import {
        actor,
        ..Import::default()
    });
    if words != expected {
        sim.violate(format!(
            "object {number}: the state that arrives is not the one that was exported"
        ));
    }
}

/// The old side has heard of the end: the import is in force.
pub(crate) fn commit_import(sim: &mut Simulation, id: u64) {
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    let Some(import) = object.import.take() else {
        return;
    };
    (object.actor, object.state) = (import.actor, import.state);
    object.drained = false;
    object.stream.want = 1;
    if object.kind == Kind::Flow
        && let Some(socket) = socket_of_port(sim, id)
        && let Some(object) = sim.objects.get_mut(&id)
    {
        object.socket = socket;
        object.group = socket;
    }
    for (about, effect) in import.effects {
        apply(sim, about, &effect);
    }
}

/// The new side has heard of the end: the import has no effects.
pub(crate) fn drop_import(sim: &mut Simulation, id: u64) {
    let import = sim.objects.get_mut(&id).and_then(|one| one.import.take());
    let dials = import.iter().flat_map(|one| &one.effects);
    let tags: Vec<u64> = dials
        .filter_map(|(_, effect)| {
            if let Effect::Dial(tag) = effect {
                Some(*tag)
            } else {
                None
            }
        })
        .collect();
    for tag in tags {
        dials::forget_dial(sim, tag);
    }
}

/// The socket of a flow's actor at the flow's port.
pub(crate) fn socket_of_port(sim: &Simulation, id: u64) -> Option<u64> {
    let flow = sim.objects.get(&id)?;
    let mut sockets = sim
        .objects
        .values()
        .filter(|one| one.kind == Kind::Socket && one.is_open());
    sockets
        .find(|one| one.actor == flow.actor && one.port == flow.port && !one.dialled)
        .map(|one| one.id)
}

/// Notes what a host call has done: at once, or with the import that asked for it.
pub(crate) fn effect(sim: &mut Simulation, id: u64, effect: Effect) {
    let running = sim.running;
    let staged = sim.importing.is_some_and(|(one, _)| one == running);
    if staged
        && let Some(import) = sim
            .objects
            .get_mut(&running)
            .and_then(|one| one.import.as_mut())
    {
        import.effects.push((id, effect));
        return;
    }
    apply(sim, id, &effect);
}

pub(crate) fn apply(sim: &mut Simulation, id: u64, effect: &Effect) {
    let now = sim.now();
    let Some(object) = sim.objects.get_mut(&id) else {
        return;
    };
    match effect {
        Effect::Write(len) => object.stream.written += len,
        Effect::Fin => object.stream.fin_written = true,
        Effect::Owed => object.stream.owed = true,
        Effect::Watermarks => object.stream.maybe_owed = true,
        Effect::Reads(on) => object.stream.reads_off = !on,
        Effect::Close(how) => {
            object.closed_by_handler(*how);
            let (peer, port) = (object.peer, object.port);
            if let (Some(peer), Some(port)) = (peer, port) {
                datagram::excuse(sim, peer, port);
            }
        }
        Effect::TimerSet(of, key, after, period) => {
            let timer = Timer {
                due: now + after,
                period: *period,
            };
            if let Some(owner) = sim.objects.get_mut(of) {
                owner.timers.insert(*key, timer);
            }
        }
        Effect::TimerCancel(of, key) => {
            if let Some(owner) = sim.objects.get_mut(of) {
                owner.timers.remove(key);
            }
        }
        Effect::Dial(_) => {}
    }
}
