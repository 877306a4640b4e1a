//! The table and the trampolines of flows.

use std::ffi::c_void;

use polyport_abi::{PpDatagram, PpFlowInfo, PpFlowOps, PpId, PpNanos, PpSink, PpSource, PpStatus};

use super::enter::{begin, code, end, io};
use super::object::{Context, Kept, MigrateOps, callback, closed, open};
use crate::datagram::Batch;
use crate::end::End;
use crate::flow::{DrainFlow, Flow, FlowHandler, MigrateFlow};
use crate::info::FlowInfo;
use crate::raw::{nanos, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::Status;
use crate::time::Moment;

/// The table without the callbacks of [`DrainFlow`] and [`MigrateFlow`].
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

pub(super) const fn migrate<H: MigrateFlow>() -> MigrateOps<PpFlowInfo> {
    (Some(export_state::<H>), Some(import_state::<H>))
}

open!("flow_open", Flow, FlowHandler::open() => FlowInfo);
callback!(Flow, FlowHandler::on_datagrams(first: *const PpDatagram, n: usize, stride: usize) =>
    Batch::from_raw(first, n, stride).ok_or(Status::INVAL)?);
callback!(Flow, FlowHandler::on_wake(bits: u64) => bits);
callback!(Flow, FlowHandler::on_timer(key: u32) => key);
callback!(Flow, DrainFlow::on_drain(deadline: PpNanos) => Moment::from_nanos(deadline));
callback!(Flow, FlowHandler::on_dial_failed(tag: u64, why: PpStatus) =>
    tag, Status::refusal(why));
callback!(Flow, MigrateFlow::export_state(to: *mut PpSink) => &mut StateWriter::from_raw(to));
open!("import_state", Flow, MigrateFlow::import_state(version: u32, from: *mut PpSource) =>
    FlowInfo, version, &mut StateReader::from_raw(from));
closed!("closed", Flow, FlowHandler);
