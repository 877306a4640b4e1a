//! The trampolines of flows.

use std::ffi::c_void;

use polyport_abi::{PpDatagram, PpFlowInfo, PpFlowOps, PpId, PpNanos, PpSink, PpSource, PpStatus};

use super::enter::{begin, code, end, io};
use crate::datagram::Batch;
use crate::end::End;
use crate::flow::{DrainFlow, Flow, FlowHandler, MigrateFlow};
use crate::ids::SocketId;
use crate::info::FlowInfo;
use crate::raw::{nanos, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// The callbacks that every handler of flows has.
pub(super) const fn ops<H: FlowHandler>() -> PpFlowOps {
    PpFlowOps {
        struct_size: size32::<PpFlowOps>(),
        flags: 0,
        idle_timeout: nanos(H::IDLE_TIMEOUT),
        flows_max: H::FLOWS_MAX,
        reserved: 0,
        flow_open: Some(open::<H>),
        on_datagrams: Some(on_datagrams::<H>),
        on_wake: Some(on_wake::<H>),
        on_timer: Some(on_timer::<H>),
        on_drain: None,
        on_dial_failed: Some(on_dial_failed::<H>),
        export_state: None,
        import_state: None,
        closed: Some(closed::<H>),
    }
}

/// The callback of [`DrainFlow`].
pub(super) type DrainOp = unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus;

/// The callbacks of [`MigrateFlow`].
#[derive(Clone, Copy, Debug)]
pub struct MigrateOps {
    pub(super) export: Export,
    pub(super) import: Import,
}

type Export = unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, *mut PpSink) -> PpStatus;
type Import = unsafe extern "C" fn(
    *mut c_void,
    PpId,
    *const PpFlowInfo,
    u32,
    *mut PpSource,
    *mut *mut c_void,
) -> PpStatus;

pub(super) const fn migrate<H: MigrateFlow>() -> MigrateOps {
    MigrateOps {
        export: export_state::<H>,
        import: import_state::<H>,
    }
}

/// What the host keeps for a flow: the author's state, and the socket that answers go by.
struct Kept<S> {
    socket: SocketId,
    state: S,
}

/// # Safety
///
/// As for [`io`].
unsafe fn flow_io<H: FlowHandler>(
    name: &'static str,
    (this, kept, id): (*mut c_void, *mut c_void, PpId),
    body: impl FnOnce(&H, &mut H::State, &mut Flow<'_>) -> Result<()>,
) -> PpStatus {
    // SAFETY: the caller's condition.
    code(unsafe {
        io(
            name,
            (this, kept, id),
            |handler: &H, kept: &mut Kept<H::State>| {
                body(handler, &mut kept.state, &mut Flow::new(id, kept.socket))
            },
        )
    })
}

unsafe extern "C" fn open<H: FlowHandler>(
    this: *mut c_void,
    id: PpId,
    info: *const PpFlowInfo,
    kept: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends the info until this returns.
    let info = unsafe { FlowInfo::from_raw(info) };
    let socket = info.socket();
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("flow_open", this, id, kept, |handler: &H| {
            let state = FlowHandler::open(handler, &mut Flow::new(id, socket), &info)?;
            Ok(Kept { socket, state })
        })
    }
}

unsafe extern "C" fn on_datagrams<H: FlowHandler>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    first: *const PpDatagram,
    n: usize,
    stride: usize,
) -> PpStatus {
    // SAFETY: the host lends `n` datagrams, `stride` apart, until this returns.
    let Some(batch) = (unsafe { Batch::from_raw(first, n, stride) }) else {
        return Status::INVAL.code();
    };
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io(
            "on_datagrams",
            (this, kept, id),
            |handler: &H, state, flow| FlowHandler::on_datagrams(handler, state, flow, batch),
        )
    }
}

unsafe extern "C" fn on_wake<H: FlowHandler>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    bits: u64,
) -> PpStatus {
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io("on_wake", (this, kept, id), |h: &H, state, flow| {
            FlowHandler::on_wake(h, state, flow, bits)
        })
    }
}

unsafe extern "C" fn on_timer<H: FlowHandler>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    key: u32,
) -> PpStatus {
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io("on_timer", (this, kept, id), |h: &H, state, flow| {
            FlowHandler::on_timer(h, state, flow, key)
        })
    }
}

pub(super) unsafe extern "C" fn on_drain<H: DrainFlow>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    deadline: PpNanos,
) -> PpStatus {
    let by = Moment::from_nanos(deadline);
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io("on_drain", (this, kept, id), |h: &H, state, flow| {
            DrainFlow::on_drain(h, state, flow, by)
        })
    }
}

unsafe extern "C" fn on_dial_failed<H: FlowHandler>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    tag: u64,
    why: PpStatus,
) -> PpStatus {
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io(
            "on_dial_failed",
            (this, kept, id),
            |handler: &H, state, flow| {
                FlowHandler::on_dial_failed(handler, state, flow, tag, Status::refusal(why))
            },
        )
    }
}

unsafe extern "C" fn export_state<H: MigrateFlow>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    to: *mut PpSink,
) -> PpStatus {
    // SAFETY: the host lends the sink until this returns.
    let mut to = unsafe { StateWriter::from_raw(to) };
    // SAFETY: the host passes what `flow_open` made, one callback of a flow at a time.
    unsafe {
        flow_io(
            "export_state",
            (this, kept, id),
            |handler: &H, state, flow| MigrateFlow::export_state(handler, state, flow, &mut to),
        )
    }
}

unsafe extern "C" fn import_state<H: MigrateFlow>(
    this: *mut c_void,
    id: PpId,
    info: *const PpFlowInfo,
    version: u32,
    from: *mut PpSource,
    kept: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends info and source until this returns.
    let (info, mut from) = unsafe { (FlowInfo::from_raw(info), StateReader::from_raw(from)) };
    let socket = info.socket();
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("import_state", this, id, kept, |handler: &H| {
            let mut flow = Flow::new(id, socket);
            let state = MigrateFlow::import_state(handler, &mut flow, &info, version, &mut from)?;
            Ok(Kept { socket, state })
        })
    }
}

unsafe extern "C" fn closed<H: FlowHandler>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    reason: u32,
) -> PpStatus {
    // SAFETY: the host passes what `flow_open` made, for the last time.
    unsafe {
        end(
            "closed",
            (this, kept, id),
            |handler: &H, kept: Kept<H::State>| {
                FlowHandler::closed(
                    handler,
                    kept.state,
                    &mut Flow::new(id, kept.socket),
                    End(reason),
                );
            },
        )
    }
}
