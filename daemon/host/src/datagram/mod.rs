//! Calls of `pp_socket_ops` and `pp_flow_ops`: typed arguments in, checked results out.

mod batch;

use polyport_abi as abi;
use polyport_abi::{PpFlowInfo, PpFlowOps, PpSocketInfo, PpSocketOps};

use crate::boundary::{Callback, IoCall};
use crate::id::Id;
use crate::instance::Instance;
use crate::status::CallbackError;
use crate::stream::{Address, DialOrigin, PluginState, slice, struct_size};

pub use batch::{Batch, BatchBuffer, IncomingPayload, IncomingRun};

/// What is known of a socket when it opens.
#[derive(Debug, Clone, Copy)]
pub struct SocketInfo<'a> {
    /// Ours.
    pub local: Address,
    /// Of a dialled socket.
    pub remote: Address,
    /// Set when it was dialled.
    pub dialled: Option<DialOrigin>,
    /// Name of the service; empty when dialled by an instance.
    pub service: &'a str,
    /// Name of the listener; empty when dialled.
    pub listener: &'a str,
}

/// What is known of a flow when it begins.
#[derive(Debug, Clone, Copy)]
pub struct FlowInfo {
    /// The socket that it is of; answers go by it.
    pub socket: Id,
    /// The local address that the peer asks.
    pub local: Address,
    /// The peer's.
    pub remote: Address,
}

impl SocketInfo<'_> {
    /// Borrows the names: for a call that ends before they do.
    pub(crate) fn to_abi(self, flags: u32) -> PpSocketInfo {
        let dialled = self.dialled;
        PpSocketInfo {
            struct_size: struct_size::<PpSocketInfo>(),
            flags: flags
                | if dialled.is_some() {
                    abi::PP_INFO_OUTBOUND
                } else {
                    0
                },
            local: self.local.to_abi(),
            remote: self.remote.to_abi(),
            parent: dialled.map_or(0, |dialled| dialled.parent.raw()),
            tag: dialled.map_or(0, |dialled| dialled.tag),
            service: slice(self.service),
            listener: slice(self.listener),
        }
    }
}

impl FlowInfo {
    pub(crate) fn to_abi(self, flags: u32) -> PpFlowInfo {
        PpFlowInfo {
            struct_size: struct_size::<PpFlowInfo>(),
            flags,
            socket: self.socket.raw(),
            local: self.local.to_abi(),
            remote: self.remote.to_abi(),
        }
    }
}

impl Instance {
    fn socket_ops(&self) -> Option<&PpSocketOps> {
        self.handler().socket.as_ref()
    }

    fn flow_ops(&self) -> Option<&PpFlowOps> {
        self.handler().flow.as_ref()
    }

    /// Does its handler serve datagrams?
    #[must_use]
    pub fn serves_datagrams(&self) -> bool {
        self.socket_ops().is_some() || self.flow_ops().is_some()
    }

    /// Does its handler want flows, and if so for how long (nanoseconds, 0: the service's) and how many?
    #[must_use]
    pub fn flows(&self) -> Option<(u64, u32)> {
        self.flow_ops().map(|ops| (ops.idle_timeout, ops.flows_max))
    }

    /// Does its handler want to see truncated datagrams?
    #[must_use]
    pub fn wants_truncated(&self) -> bool {
        self.socket_ops()
            .is_some_and(|ops| ops.flags & abi::PP_SF_WANT_TRUNCATED != 0)
    }

    /// Does its handler say goodbye to sockets, or to flows?
    #[must_use]
    pub fn drains_datagrams(&self) -> (bool, bool) {
        let sockets = self.socket_ops().is_some_and(|ops| ops.on_drain.is_some());
        (
            sockets,
            self.flow_ops().is_some_and(|ops| ops.on_drain.is_some()),
        )
    }

    /// `on_send_error`; `errno` as the system said it.
    ///
    /// # Errors
    /// The handler fails.
    pub fn send_error(
        &self,
        id: Id,
        state: PluginState,
        to: Address,
        errno: i32,
    ) -> Result<(), CallbackError> {
        let Some(on_send_error) = self.socket_ops().and_then(|ops| ops.on_send_error) else {
            return Ok(());
        };
        let to = to.to_abi();
        let _call = IoCall::enter(Callback::OnSendError, self.index(), id);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_send_error(self.this(), state.0, id.raw(), &raw const to, errno) })
            .map(drop)
    }
}
