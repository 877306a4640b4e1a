//! Which traits does a handler implement? Decided at compile time, for a type that is known by name.
//!
//! `Probe::<H>::STREAM` is the constant of the inherent impl if `H` fulfils that impl's bound, and
//! that of the trait [`Absent`] if not. So a callback is in the table exactly when its trait is
//! implemented, and an author cannot forget to list one.

use std::marker::PhantomData;

use polyport_abi::{
    PpCallback, PpFlowInfo, PpFlowOps, PpNanos, PpSocketOps, PpStreamInfo, PpStreamOps,
};

use super::handler::{ExclusiveHooks, StateHooks};
use super::object::MigrateOps;
use super::{flow, handler, socket, stream};
use crate::datagram::{DrainSocket, SocketHandler};
use crate::flow::{DrainFlow, FlowHandler, MigrateFlow};
use crate::handler::{Exclusive, Persist};
use crate::stream::{DrainStream, MigrateStream, StreamHandler};

/// Looks at one handler.
#[derive(Debug)]
pub struct Probe<H>(PhantomData<H>);

/// The constants of traits that are not implemented.
pub trait Absent {
    /// No streams.
    const STREAM: Option<PpStreamOps> = None;
    /// No `on_drain` of streams.
    const STREAM_DRAIN: PpCallback<PpNanos> = None;
    /// No migration of streams.
    const STREAM_MIGRATE: MigrateOps<PpStreamInfo> = (None, None);
    /// No datagrams.
    const SOCKET: Option<PpSocketOps> = None;
    /// No `on_drain` of sockets.
    const SOCKET_DRAIN: PpCallback<PpNanos> = None;
    /// No flows.
    const FLOW: Option<PpFlowOps> = None;
    /// No `on_drain` of flows.
    const FLOW_DRAIN: PpCallback<PpNanos> = None;
    /// No migration of flows.
    const FLOW_MIGRATE: MigrateOps<PpFlowInfo> = (None, None);
    /// No saved state.
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
    pub const STREAM_DRAIN: PpCallback<PpNanos> = Some(stream::on_drain::<H>);
}

impl<H: MigrateStream> Probe<H> {
    /// Migration of streams.
    pub const STREAM_MIGRATE: MigrateOps<PpStreamInfo> = stream::migrate::<H>();
}

impl<H: SocketHandler> Probe<H> {
    /// Datagrams.
    pub const SOCKET: Option<PpSocketOps> = Some(socket::ops::<H>());
}

impl<H: DrainSocket> Probe<H> {
    /// `on_drain` of sockets.
    pub const SOCKET_DRAIN: PpCallback<PpNanos> = Some(socket::on_drain::<H>);
}

impl<H: FlowHandler> Probe<H> {
    /// Flows.
    pub const FLOW: Option<PpFlowOps> = Some(flow::ops::<H>());
}

impl<H: DrainFlow> Probe<H> {
    /// `on_drain` of flows.
    pub const FLOW_DRAIN: PpCallback<PpNanos> = Some(flow::on_drain::<H>);
}

impl<H: MigrateFlow> Probe<H> {
    /// Migration of flows.
    pub const FLOW_MIGRATE: MigrateOps<PpFlowInfo> = flow::migrate::<H>();
}

impl<H: Persist> Probe<H> {
    /// Saved state.
    pub const STATE: Option<StateHooks> = Some(handler::state_hooks::<H>());
}

impl<H: Exclusive> Probe<H> {
    /// May live in one generation only.
    pub const EXCLUSIVE: Option<ExclusiveHooks> = Some(handler::exclusive_hooks::<H>());
}

/// The tables of one handler, put together from the constants.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    pub(super) stream: Option<PpStreamOps>,
    pub(super) socket: Option<PpSocketOps>,
    pub(super) flow: Option<PpFlowOps>,
    pub(super) state: Option<StateHooks>,
    pub(super) exclusive: Option<ExclusiveHooks>,
}

impl Found {
    /// Hooks of the instance.
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

    /// Callbacks of streams.
    #[must_use]
    pub const fn streams(
        mut self,
        ops: Option<PpStreamOps>,
        drain: PpCallback<PpNanos>,
        migrate: MigrateOps<PpStreamInfo>,
    ) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        (ops.export_state, ops.import_state) = migrate;
        self.stream = Some(ops);
        self
    }

    /// Callbacks of datagram sockets.
    #[must_use]
    pub const fn sockets(mut self, ops: Option<PpSocketOps>, drain: PpCallback<PpNanos>) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        self.socket = Some(ops);
        self
    }

    /// Callbacks of flows. Flows need a socket: a handler of flows alone gets an empty table for it.
    #[must_use]
    pub const fn flows(
        mut self,
        ops: Option<PpFlowOps>,
        drain: PpCallback<PpNanos>,
        migrate: MigrateOps<PpFlowInfo>,
    ) -> Self {
        let Some(mut ops) = ops else { return self };
        ops.on_drain = drain;
        (ops.export_state, ops.import_state) = migrate;
        self.flow = Some(ops);
        if self.socket.is_none() {
            self.socket = Some(socket::NO_OPS);
        }
        self
    }
}
