//! Calls of `pp_socket_ops` and `pp_flow_ops`: typed arguments in, checked results out.

mod batch;

use polyport_abi as abi;
use polyport_abi::{PpDatagram, PpFlowInfo, PpFlowOps, PpSocketInfo, PpSocketOps};

use crate::boundary::{Callback, IoCall};
use crate::id::Id;
use crate::instance::Instance;
use crate::status::{CallbackError, DialFailure};
use crate::stream::{Address, Dialled, PluginState, slice, struct_size};

pub use batch::{Batch, BatchRoom, Incoming, Piece};

/// What is known of a socket when it opens.
#[derive(Debug, Clone, Copy)]
pub struct SocketInfo<'a> {
    /// Ours.
    pub local: Address,
    /// Of a dialled socket.
    pub remote: Address,
    /// Set when it was dialled.
    pub dialled: Option<Dialled>,
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
    pub fn datagrams_drain(&self) -> (bool, bool) {
        let sockets = self.socket_ops().is_some_and(|ops| ops.on_drain.is_some());
        (
            sockets,
            self.flow_ops().is_some_and(|ops| ops.on_drain.is_some()),
        )
    }

    /// `socket_open`.
    ///
    /// # Errors
    /// The handler refuses the socket.
    pub fn socket_open(
        &self,
        sock: Id,
        info: &SocketInfo<'_>,
    ) -> Result<PluginState, CallbackError> {
        let Some(open) = self.socket_ops().and_then(|ops| ops.socket_open) else {
            return Ok(PluginState::NONE);
        };
        let raw = PpSocketInfo {
            struct_size: struct_size::<PpSocketInfo>(),
            flags: if info.dialled.is_some() {
                abi::PP_INFO_OUTBOUND
            } else {
                0
            },
            local: info.local.to_abi(),
            remote: info.remote.to_abi(),
            parent: info.dialled.map_or(0, |dialled| dialled.parent.raw()),
            tag: info.dialled.map_or(0, |dialled| dialled.tag),
            service: slice(info.service),
            listener: slice(info.listener),
        };
        let mut state = std::ptr::null_mut();
        let _call = IoCall::enter(Callback::SocketOpen, self.index(), sock);
        // SAFETY: a function of a vetted table, with the instance's own `self` and borrowed arguments that outlive
        // the call; exclusive for this id, because the worker makes one call at a time.
        self.check(unsafe { open(self.this(), sock.raw(), &raw const raw, &raw mut state) })?;
        Ok(PluginState(state))
    }

    /// `on_datagrams` of the socket.
    ///
    /// # Errors
    /// The handler fails.
    #[inline]
    pub fn socket_datagrams(
        &self,
        state: PluginState,
        sock: Id,
        batch: Batch<'_>,
    ) -> Result<(), CallbackError> {
        let Some(on_datagrams) = self.socket_ops().and_then(|ops| ops.on_datagrams) else {
            return Ok(());
        };
        let all = batch.datagrams;
        let _call = IoCall::enter(Callback::OnDatagrams, self.index(), sock);
        // SAFETY: as in `socket_open`; the batch borrows its bytes until the call has returned.
        self.check(unsafe {
            let stride = size_of::<PpDatagram>();
            on_datagrams(
                self.this(),
                state.0,
                sock.raw(),
                all.as_ptr(),
                all.len(),
                stride,
            )
        })
        .map(drop)
    }

    /// `on_writable` of the socket.
    ///
    /// # Errors
    /// The handler fails.
    pub fn socket_writable(&self, state: PluginState, sock: Id) -> Result<(), CallbackError> {
        let Some(on_writable) = self.socket_ops().and_then(|ops| ops.on_writable) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::OnWritable, self.index(), sock);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_writable(self.this(), state.0, sock.raw()) })
            .map(drop)
    }

    /// `on_send_error`; `errno` as the system said it.
    ///
    /// # Errors
    /// The handler fails.
    pub fn socket_send_error(
        &self,
        state: PluginState,
        sock: Id,
        to: Address,
        errno: i32,
    ) -> Result<(), CallbackError> {
        let Some(on_send_error) = self.socket_ops().and_then(|ops| ops.on_send_error) else {
            return Ok(());
        };
        let to = to.to_abi();
        let _call = IoCall::enter(Callback::OnSendError, self.index(), sock);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_send_error(self.this(), state.0, sock.raw(), &raw const to, errno) })
            .map(drop)
    }

    /// `socket_closed`; the state is the plugin's to free.
    ///
    /// # Errors
    /// The handler fails.
    pub fn socket_closed(
        &self,
        state: PluginState,
        sock: Id,
        reason: u32,
    ) -> Result<(), CallbackError> {
        let Some(closed) = self.socket_ops().and_then(|ops| ops.socket_closed) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::SocketClosed, self.index(), sock);
        // SAFETY: as in `socket_open`; the engine calls this once for each socket, last.
        self.check(unsafe { closed(self.this(), state.0, sock.raw(), reason) })
            .map(drop)
    }

    /// `flow_open`.
    ///
    /// # Errors
    /// The handler refuses the flow.
    pub fn flow_open(&self, flow: Id, info: &FlowInfo) -> Result<PluginState, CallbackError> {
        let Some(open) = self.flow_ops().and_then(|ops| ops.flow_open) else {
            return Ok(PluginState::NONE);
        };
        let raw = info.to_abi(0);
        let mut state = std::ptr::null_mut();
        let _call = IoCall::enter(Callback::FlowOpen, self.index(), flow);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { open(self.this(), flow.raw(), &raw const raw, &raw mut state) })?;
        Ok(PluginState(state))
    }

    /// `on_datagrams` of a flow.
    ///
    /// # Errors
    /// The handler fails.
    pub fn flow_datagrams(
        &self,
        state: PluginState,
        flow: Id,
        batch: Batch<'_>,
    ) -> Result<(), CallbackError> {
        let Some(on_datagrams) = self.flow_ops().and_then(|ops| ops.on_datagrams) else {
            return Ok(());
        };
        let all = batch.datagrams;
        let _call = IoCall::enter(Callback::OnDatagrams, self.index(), flow);
        // SAFETY: as in `socket_datagrams`.
        self.check(unsafe {
            let stride = size_of::<PpDatagram>();
            on_datagrams(
                self.this(),
                state.0,
                flow.raw(),
                all.as_ptr(),
                all.len(),
                stride,
            )
        })
        .map(drop)
    }

    /// `closed` of a flow; the state is the plugin's to free.
    ///
    /// # Errors
    /// The handler fails.
    pub fn flow_closed(
        &self,
        state: PluginState,
        flow: Id,
        reason: u32,
    ) -> Result<(), CallbackError> {
        let Some(closed) = self.flow_ops().and_then(|ops| ops.closed) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::Closed, self.index(), flow);
        // SAFETY: as in `socket_open`; the engine calls this once for each flow, last.
        self.check(unsafe { closed(self.this(), state.0, flow.raw(), reason) })
            .map(drop)
    }

    /// `on_wake` of a socket or flow, by the kind of the id.
    ///
    /// # Errors
    /// The handler fails.
    pub fn datagram_wake(
        &self,
        state: PluginState,
        id: Id,
        bits: u64,
    ) -> Result<(), CallbackError> {
        let Some(on_wake) = self.pick(id, |ops| ops.on_wake, |ops| ops.on_wake) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::OnWake, self.index(), id);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_wake(self.this(), state.0, id.raw(), bits) })
            .map(drop)
    }

    /// `on_timer` of a socket or flow.
    ///
    /// # Errors
    /// The handler fails.
    pub fn datagram_timer(
        &self,
        state: PluginState,
        id: Id,
        key: u32,
    ) -> Result<(), CallbackError> {
        let Some(on_timer) = self.pick(id, |ops| ops.on_timer, |ops| ops.on_timer) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::OnTimer, self.index(), id);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_timer(self.this(), state.0, id.raw(), key) })
            .map(drop)
    }

    /// `on_drain` of a socket or flow; the deadline is a time of the monotonic clock, nanoseconds.
    ///
    /// # Errors
    /// The handler fails.
    pub fn datagram_drain(
        &self,
        state: PluginState,
        id: Id,
        deadline: u64,
    ) -> Result<(), CallbackError> {
        let Some(on_drain) = self.pick(id, |ops| ops.on_drain, |ops| ops.on_drain) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::OnDrain, self.index(), id);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { on_drain(self.this(), state.0, id.raw(), deadline) })
            .map(drop)
    }

    /// `on_dial_failed` of a socket or flow.
    ///
    /// # Errors
    /// The handler fails.
    pub fn datagram_dial_failed(
        &self,
        state: PluginState,
        id: Id,
        tag: u64,
        why: DialFailure,
    ) -> Result<(), CallbackError> {
        let Some(failed) = self.pick(id, |ops| ops.on_dial_failed, |ops| ops.on_dial_failed) else {
            return Ok(());
        };
        let _call = IoCall::enter(Callback::OnDialFailed, self.index(), id);
        // SAFETY: as in `socket_open`.
        self.check(unsafe { failed(self.this(), state.0, id.raw(), tag, why.status()) })
            .map(drop)
    }

    /// The same callback of the table that the id's kind names.
    fn pick<F>(
        &self,
        id: Id,
        of_socket: impl FnOnce(&PpSocketOps) -> Option<F>,
        of_flow: impl FnOnce(&PpFlowOps) -> Option<F>,
    ) -> Option<F> {
        match id.kind() {
            Some(crate::id::Kind::Flow) => self.flow_ops().and_then(of_flow),
            _ => self.socket_ops().and_then(of_socket),
        }
    }
}
