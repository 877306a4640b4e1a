//! Mirror of `datagram.h`.

use core::ffi::c_void;

use crate::callback::{PpCallback, PpCallback2, PpImport, PpNotify, PpOnDatagrams, PpOpen};
use crate::types::{PpAddr, PpId, PpNanos, PpSink, PpSlice, PpStatus};

/// What is known of a datagram socket when it opens.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpSocketInfo {
    /// Size known to the host.
    pub struct_size: u32,
    /// `PP_INFO_OUTBOUND`.
    pub flags: u32,
    /// Ours.
    pub local: PpAddr,
    /// Of a dialled socket.
    pub remote: PpAddr,
    /// Who dialled, or 0.
    pub parent: PpId,
    /// Of the dial.
    pub tag: u64,
    /// Name of the service.
    pub service: PpSlice,
    /// Name of the listener.
    pub listener: PpSlice,
}

/// It was longer than the host could hold.
pub const PP_DATAGRAM_TRUNCATED: u32 = 1;

/// One datagram that came.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpDatagram {
    /// First byte.
    pub ptr: *const c_void,
    /// Bytes; 0 is data.
    pub len: usize,
    /// Answer to this.
    pub peer: PpId,
    /// The peer's address.
    pub from: PpAddr,
    /// The local address that was asked.
    pub to: PpAddr,
    /// When.
    pub received: PpNanos,
    /// `PP_DATAGRAM_*`.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// Show truncated datagrams instead of dropping them.
pub const PP_SF_WANT_TRUNCATED: u32 = 1;

/// What a handler does with datagram sockets; every callback may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpSocketOps {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// `PP_SF_*`.
    pub flags: u32,
    /// `[io]` A socket begins.
    pub socket_open: PpOpen<PpSocketInfo>,
    /// `[io]` A batch.
    pub on_datagrams: PpOnDatagrams,
    /// `[io]` After a short `send_datagrams`.
    pub on_writable: PpNotify,
    /// `[io]` The system refused a datagram.
    pub on_send_error: PpCallback2<*const PpAddr, i32>,
    /// `[io]` Somebody called `wake`.
    pub on_wake: PpCallback<u64>,
    /// `[io]` A timer fired.
    pub on_timer: PpCallback<u32>,
    /// `[io]` Finish by the deadline.
    pub on_drain: PpCallback<PpNanos>,
    /// `[io]` A dial came to nothing.
    pub on_dial_failed: PpCallback2<u64, PpStatus>,
    /// `[io]` The end.
    pub socket_closed: PpCallback<u32>,
}

/// What is known of a flow when it begins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpFlowInfo {
    /// Size known to the host.
    pub struct_size: u32,
    /// `PP_INFO_MIGRATED`.
    pub flags: u32,
    /// The socket it runs over.
    pub socket: PpId,
    /// Ours.
    pub local: PpAddr,
    /// The peer's.
    pub remote: PpAddr,
}

/// What a handler does with flows; every callback may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpFlowOps {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// None yet.
    pub flags: u32,
    /// 0: the service's idle timeout.
    pub idle_timeout: PpNanos,
    /// For each socket; 0: 65536.
    pub flows_max: u32,
    /// 0.
    pub reserved: u32,
    /// `[io]` A flow begins.
    pub flow_open: PpOpen<PpFlowInfo>,
    /// `[io]` A batch.
    pub on_datagrams: PpOnDatagrams,
    /// `[io]` Somebody called `wake`.
    pub on_wake: PpCallback<u64>,
    /// `[io]` A timer fired.
    pub on_timer: PpCallback<u32>,
    /// `[io]` Finish by the deadline.
    pub on_drain: PpCallback<PpNanos>,
    /// `[io]` A dial came to nothing.
    pub on_dial_failed: PpCallback2<u64, PpStatus>,
    /// `[io]` Writes the state of one flow.
    pub export_state: PpCallback<*mut PpSink>,
    /// `[io]` Takes over one flow.
    pub import_state: PpImport<PpFlowInfo>,
    /// `[io]` The end.
    pub closed: PpCallback<u32>,
}
