//! Which traits does a handler implement? Asked while compiling, for a type that is known by name.
//!
//! `Probe::<H>::STREAM` is the constant of the inherent impl if `H` fulfils that impl's bound, and
//! that of the trait [`Absent`] if not. So a callback is in the table exactly when its trait was
//! implemented, and an author cannot forget to list one.

use std::marker::PhantomData;

use polyport_abi::{PpFlowOps, PpSocketOps, PpStreamOps};

use super::handler::{ExclusiveHooks, StateHooks};
use super::{flow, handler, socket, stream};
use crate::datagram::{DrainSocket, SocketHandler};
use crate::flow::{DrainFlow, FlowHandler, MigrateFlow};
use crate::handler::{Exclusive, Persist};
use crate::stream::{DrainStream, MigrateStream, StreamHandler};

/// Asks about one handler.
#[derive(Debug)]
pub struct Probe<H>(PhantomData<H>);

/// The answers for what is not implemented.
pub trait Absent {
    /// No streams.
    const STREAM: Option<PpStreamOps> = None;
    /// No `on_drain` of streams.
    const STREAM_DRAIN: Option<stream::DrainOp> = None;
    /// No migration of streams.
    const STREAM_MIGRATE: Option<stream::MigrateOps> = None;
    /// No datagrams.
    const SOCKET: Option<PpSocketOps> = None;
    /// No `on_drain` of sockets.
    const SOCKET_DRAIN: Option<socket::DrainOp> = None;
    /// No flows.
    const FLOW: Option<PpFlowOps> = None;
    /// No `on_drain` of flows.
    const FLOW_DRAIN: Option<flow::DrainOp> = None;
    /// No migration of flows.
    const FLOW_MIGRATE: Option<flow::MigrateOps> = None;
    /// No state at rest.
    const STATE: Option<StateHooks> = None;
    /// May live in two generations.
    const EXCLUSIVE: Option<ExclusiveHooks> = None;
}

impl<H> Absent for Probe<H> {}

impl<H: StreamHandler> Probe<H> {
    /// Streams.
    pub const STREAM: Option<PpStreamOps> = Some(stream::ops::<H>());
}

impl<H: DrainStream> Probe<H> {
    /// `on_drain` of streams.
    pub const STREAM_DRAIN: Option<stream::DrainOp> = Some(stream::on_drain::<H>);
}

impl<H: MigrateStream> Probe<H> {
    /// Migration of streams.
    pub const STREAM_MIGRATE: Option<stream::MigrateOps> = Some(stream::migrate::<H>());
}

impl<H: SocketHandler> Probe<H> {
    /// Datagrams.
    pub const SOCKET: Option<PpSocketOps> = Some(socket::ops::<H>());
}

impl<H: DrainSocket> Probe<H> {
    /// `on_drain` of sockets.
    pub const SOCKET_DRAIN: Option<socket::DrainOp> = Some(socket::on_drain::<H>);
}

impl<H: FlowHandler> Probe<H> {
    /// Flows.
    pub const FLOW: Option<PpFlowOps> = Some(flow::ops::<H>());
}

impl<H: DrainFlow> Probe<H> {
    /// `on_drain` of flows.
    pub const FLOW_DRAIN: Option<flow::DrainOp> = Some(flow::on_drain::<H>);
}

impl<H: MigrateFlow> Probe<H> {
    /// Migration of flows.
    pub const FLOW_MIGRATE: Option<flow::MigrateOps> = Some(flow::migrate::<H>());
}

impl<H: Persist> Probe<H> {
    /// State at rest.
    pub const STATE: Option<StateHooks> = Some(handler::state_hooks::<H>());
}

impl<H: Exclusive> Probe<H> {
    /// May live in one generation only.
    pub const EXCLUSIVE: Option<ExclusiveHooks> = Some(handler::exclusive_hooks::<H>());
}

/// All answers about one handler, put together.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub(super) stream: Option<PpStreamOps>,
    pub(super) socket: Option<PpSocketOps>,
    pub(super) flow: Option<PpFlowOps>,
    pub(super) state: Option<StateHooks>,
    pub(super) exclusive: Option<ExclusiveHooks>,
}

impl Found {
    /// What an instance as a whole can do.
    #[must_use]
    pub const fn new(state: Option<StateHooks>, exclusive: Option<ExclusiveHooks>) -> Self {
        Self {
            stream: None,
            socket: None,
            flow: None,
            state,
            exclusive,
        }
    }

    /// What it does with streams.
    #[must_use]
    pub const fn streams(
        mut self,
        ops: Option<PpStreamOps>,
        drain: Option<stream::DrainOp>,
        migrate: Option<stream::MigrateOps>,
    ) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        if let Some(migrate) = migrate {
            ops.export_state = Some(migrate.export);
            ops.import_state = Some(migrate.import);
        }
        self.stream = Some(ops);
        self
    }

    /// What it does with datagrams.
    #[must_use]
    pub const fn sockets(
        mut self,
        ops: Option<PpSocketOps>,
        drain: Option<socket::DrainOp>,
    ) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        self.socket = Some(ops);
        self
    }

    /// What it does with flows. Flows need a socket, so a handler of flows alone has a silent one.
    #[must_use]
    pub const fn flows(
        mut self,
        ops: Option<PpFlowOps>,
        drain: Option<flow::DrainOp>,
        migrate: Option<flow::MigrateOps>,
    ) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        if let Some(migrate) = migrate {
            ops.export_state = Some(migrate.export);
            ops.import_state = Some(migrate.import);
        }
        self.flow = Some(ops);
        if self.socket.is_none() {
            self.socket = Some(socket::SILENT);
        }
        self
    }
}
