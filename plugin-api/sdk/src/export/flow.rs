//! Flows: the table.

use std::marker::PhantomData;

use polyport_abi::{PpFlowInfo, PpFlowOps, PpId};

use super::object::{self, Drain, Kind, Migrate, Receive};
use crate::datagram::Batch;
use crate::end::End;
use crate::flow::{DrainFlow, Flow, FlowHandler, MigrateFlow};
use crate::ids::SocketId;
use crate::info::FlowInfo;
use crate::raw::{nanos, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// The flows of a handler.
pub(super) struct Flows<H>(PhantomData<H>);

/// What the host keeps for a flow: the author's state, and the socket that answers go by.
pub(super) struct Kept<S> {
    socket: SocketId,
    state: S,
}

/// The table without the callbacks of optional traits.
pub(super) const fn ops<H: FlowHandler>() -> PpFlowOps {
    PpFlowOps {
        struct_size: size32::<PpFlowOps>(),
        flags: 0,
        idle_timeout: nanos(H::IDLE_TIMEOUT),
        flows_max: H::FLOWS_MAX,
        reserved: 0,
        flow_open: Some(object::open::<Flows<H>>),
        on_datagrams: Some(object::on_datagrams::<Flows<H>>),
        on_wake: Some(object::on_wake::<Flows<H>>),
        on_timer: Some(object::on_timer::<Flows<H>>),
        on_drain: None,
        on_dial_failed: Some(object::on_dial_failed::<Flows<H>>),
        export_state: None,
        import_state: None,
        closed: Some(object::closed::<Flows<H>>),
    }
}

impl<H: FlowHandler> Kind for Flows<H> {
    type Handler = H;
    type Info = PpFlowInfo;
    type Kept = Kept<H::State>;
    const OPEN: &'static str = "flow_open";

    fn open(handler: &H, id: PpId, info: &PpFlowInfo) -> Result<Kept<H::State>> {
        let socket = SocketId(info.socket);
        let state = FlowHandler::open(handler, &mut Flow::new(id, socket), &FlowInfo(info))?;
        Ok(Kept { socket, state })
    }
    fn on_wake(handler: &H, kept: &mut Kept<H::State>, id: PpId, bits: u64) -> Result<()> {
        FlowHandler::on_wake(
            handler,
            &mut kept.state,
            &mut Flow::new(id, kept.socket),
            bits,
        )
    }
    fn on_timer(handler: &H, kept: &mut Kept<H::State>, id: PpId, key: u32) -> Result<()> {
        FlowHandler::on_timer(
            handler,
            &mut kept.state,
            &mut Flow::new(id, kept.socket),
            key,
        )
    }
    fn on_dial_failed(
        handler: &H,
        kept: &mut Kept<H::State>,
        id: PpId,
        (tag, why): (u64, Status),
    ) -> Result<()> {
        let mut flow = Flow::new(id, kept.socket);
        FlowHandler::on_dial_failed(handler, &mut kept.state, &mut flow, tag, why)
    }
    fn closed(handler: &H, kept: Kept<H::State>, id: PpId, reason: End) {
        FlowHandler::closed(handler, kept.state, &mut Flow::new(id, kept.socket), reason);
    }
}

impl<H: FlowHandler> Receive for Flows<H> {
    fn on_datagrams(
        handler: &H,
        kept: &mut Kept<H::State>,
        id: PpId,
        batch: Batch<'_>,
    ) -> Result<()> {
        let mut flow = Flow::new(id, kept.socket);
        FlowHandler::on_datagrams(handler, &mut kept.state, &mut flow, batch)
    }
}

impl<H: DrainFlow> Drain for Flows<H> {
    fn on_drain(handler: &H, kept: &mut Kept<H::State>, id: PpId, by: Moment) -> Result<()> {
        DrainFlow::on_drain(
            handler,
            &mut kept.state,
            &mut Flow::new(id, kept.socket),
            by,
        )
    }
}

impl<H: MigrateFlow> Migrate for Flows<H> {
    fn export_state(
        handler: &H,
        kept: &mut Kept<H::State>,
        id: PpId,
        to: &mut StateWriter<'_>,
    ) -> Result<()> {
        MigrateFlow::export_state(handler, &kept.state, &mut Flow::new(id, kept.socket), to)
    }
    fn import_state(
        handler: &H,
        (id, info): (PpId, &PpFlowInfo),
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Kept<H::State>> {
        let socket = SocketId(info.socket);
        let (mut flow, info) = (Flow::new(id, socket), FlowInfo(info));
        let state = MigrateFlow::import_state(handler, &mut flow, &info, version, from)?;
        Ok(Kept { socket, state })
    }
}
