//! Mirror of `datagram.h`.

use core::ffi::c_void;

use crate::callback::{PpCallback, PpCallback2, PpImport, PpNotify, PpOnDatagrams, PpOpen};
use crate::types::{PpAddr, PpId, PpNanos, PpSink, PpSlice, PpStatus};

/// Facts about a datagram socket when it opens.
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
    /// The owner of the dial, or 0.
    pub parent: PpId,
    /// Of the dial.
    pub tag: u64,
    /// Name of the service.
    pub service: PpSlice,
    /// Name of the listener.
    pub listener: PpSlice,
}

/// Longer than the host's buffer.
pub const PP_DATAGRAM_TRUNCATED: u32 = 1;

/// One received datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpDatagram {
    /// First byte.
    pub ptr: *const c_void,
    /// Bytes; may be 0.
    pub len: usize,
    /// Destination of replies.
    pub peer: PpId,
    /// The peer's address.
    pub from: PpAddr,
    /// The local address that it was sent to.
    pub to: PpAddr,
    /// Time of arrival.
    pub received: PpNanos,
    /// `PP_DATAGRAM_*`.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// Deliver truncated datagrams instead of dropping them.
pub const PP_SF_WANT_TRUNCATED: u32 = 1;

/// The callbacks of datagram sockets; each may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpSocketOps {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// `PP_SF_*`.
    pub flags: u32,
    /// `[io]` A socket opens.
    pub socket_open: PpOpen<PpSocketInfo>,
    /// `[io]` Delivers a batch.
    pub on_datagrams: PpOnDatagrams,
    /// `[io]` After a short `send_datagrams`.
    pub on_writable: PpNotify,
    /// `[io]` The system refused a datagram.
    pub on_send_error: PpCallback2<*const PpAddr, i32>,
    /// `[io]` `wake` was called.
    pub on_wake: PpCallback<u64>,
    /// `[io]` A timer fired.
    pub on_timer: PpCallback<u32>,
    /// `[io]` Finish by the deadline.
    pub on_drain: PpCallback<PpNanos>,
    /// `[io]` A dial failed.
    pub on_dial_failed: PpCallback2<u64, PpStatus>,
    /// `[io]` The last callback.
    pub socket_closed: PpCallback<u32>,
}

/// Facts about a flow when it opens.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpFlowInfo {
    /// Size known to the host.
    pub struct_size: u32,
    /// `PP_INFO_MIGRATED`.
    pub flags: u32,
    /// Its socket.
    pub socket: PpId,
    /// Ours.
    pub local: PpAddr,
    /// The peer's.
    pub remote: PpAddr,
}

/// The callbacks of flows; each may be absent.
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
    /// `[io]` A flow opens.
    pub flow_open: PpOpen<PpFlowInfo>,
    /// `[io]` Delivers a batch.
    pub on_datagrams: PpOnDatagrams,
    /// `[io]` `wake` was called.
    pub on_wake: PpCallback<u64>,
    /// `[io]` A timer fired.
    pub on_timer: PpCallback<u32>,
    /// `[io]` Finish by the deadline.
    pub on_drain: PpCallback<PpNanos>,
    /// `[io]` A dial failed.
    pub on_dial_failed: PpCallback2<u64, PpStatus>,
    /// `[io]` Writes the state of one flow.
    pub export_state: PpCallback<*mut PpSink>,
    /// `[io]` Takes over one flow.
    pub import_state: PpImport<PpFlowInfo>,
    /// `[io]` The last callback.
    pub closed: PpCallback<u32>,
}
