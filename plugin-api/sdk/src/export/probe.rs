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

/// Each row: a trait, its constant, the value without and with the trait.
macro_rules! probe {
    ($($trait:ident => $name:ident: $type:ty = $absent:expr, $value:expr, $doc:literal;)+) => {
        /// The constants of traits that are not implemented.
        pub trait Absent {
            $(#[doc = concat!($doc, " Absent.")] const $name: $type = $absent;)+
        }

        $(impl<H: $trait> Probe<H> {
            #[doc = $doc] pub const $name: $type = $value;
        })+
    };
}

probe! {
    StreamHandler => STREAM: Option<PpStreamOps> = None, Some(stream::ops::<H>()), "Streams.";
    DrainStream => STREAM_DRAIN: PpCallback<PpNanos> = None, Some(stream::on_drain::<H>),
        "`on_drain` of streams.";
    MigrateStream => STREAM_MIGRATE: MigrateOps<PpStreamInfo> = (None, None), stream::migrate::<H>(),
        "Migration of streams.";
    SocketHandler => SOCKET: Option<PpSocketOps> = None, Some(socket::ops::<H>()), "Datagrams.";
    DrainSocket => SOCKET_DRAIN: PpCallback<PpNanos> = None, Some(socket::on_drain::<H>),
        "`on_drain` of sockets.";
    FlowHandler => FLOW: Option<PpFlowOps> = None, Some(flow::ops::<H>()), "Flows.";
    DrainFlow => FLOW_DRAIN: PpCallback<PpNanos> = None, Some(flow::on_drain::<H>),
        "`on_drain` of flows.";
    MigrateFlow => FLOW_MIGRATE: MigrateOps<PpFlowInfo> = (None, None), flow::migrate::<H>(),
        "Migration of flows.";
    Persist => STATE: Option<StateHooks> = None, Some(handler::state_hooks::<H>()), "Saved state.";
    Exclusive => EXCLUSIVE: Option<ExclusiveHooks> = None, Some(handler::exclusive_hooks::<H>()),
        "Freeze and thaw.";
}

impl<H> Absent for Probe<H> {}

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
