//! What only sockets and flows have: `on_send_error`, and the facts of a socket or flow.

mod batch;

use polyport_abi as abi;
use polyport_abi::{PpFlowInfo, PpFlowOps, PpSocketInfo, PpSocketOps};

use crate::boundary::{Callback, IoCall};
use crate::id::Id;
use crate::instance::Instance;
use crate::status::CallbackError;
use crate::stream::{Address, DialOrigin, PluginState, slice, struct_size};

pub use batch::{Batch, BatchBuffer, IncomingPayload, IncomingRun};

/// The facts of a socket when it opens.
#[derive(Debug, Clone, Copy)]
pub struct SocketInfo<'a> {
    /// The local address.
    pub local: Address,
    /// The peer's address, of a dialled socket.
    pub remote: Address,
    /// Set when it was dialled.
    pub dialled: Option<DialOrigin>,
    /// Name of the service; empty when dialled by an instance.
    pub service: &'a str,
    /// Name of the listener; empty when dialled.
    pub listener: &'a str,
}

/// The facts of a flow when it opens.
#[derive(Debug, Clone, Copy)]
pub struct FlowInfo {
    /// Its socket, by which answers are sent.
    pub socket: Id,
    /// The local address that the peer sends to.
    pub local: Address,
    /// The peer's address.
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

    /// The idle timeout of flows (nanoseconds, 0 for the service's) and their greatest number, if the handler has flows.
    #[must_use]
    pub fn flows(&self) -> Option<(u64, u32)> {
        self.flow_ops().map(|ops| (ops.idle_timeout, ops.flows_max))
    }

    /// Does its handler take truncated datagrams?
    #[must_use]
    pub fn wants_truncated(&self) -> bool {
        self.socket_ops()
            .is_some_and(|ops| ops.flags & abi::PP_SF_WANT_TRUNCATED != 0)
    }

    /// Has its handler `on_drain` for sockets, and for flows?
    #[must_use]
    pub fn drains_datagrams(&self) -> (bool, bool) {
        let sockets = self.socket_ops().is_some_and(|ops| ops.on_drain.is_some());
        (
            sockets,
            self.flow_ops().is_some_and(|ops| ops.on_drain.is_some()),
        )
    }

    /// `on_send_error`, with the system's `errno`.
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
        // SAFETY: a function of a vetted table, with the instance's own `self`, the state that its `socket_open` returned
        // for this id and a borrowed address; exclusive for the id, because the worker makes one call at a time.
        self.check(unsafe { on_send_error(self.this(), state.0, id.raw(), &raw const to, errno) })
            .map(drop)
    }
}
