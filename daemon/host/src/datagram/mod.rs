//! What only sockets and flows have: `on_send_error`, and the facts of a socket or flow.

mod batch;

use polyport_abi as abi;
use polyport_abi::{PpFlowInfo, PpSocketInfo};

use crate::id::Id;
use crate::stream::{Address, DialOrigin, slice, struct_size};

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
