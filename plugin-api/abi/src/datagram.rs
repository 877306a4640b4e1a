//! Mirror of `datagram.h`.

use core::ffi::c_void;

use crate::types::{PpAddr, PpId, PpNanos, PpSink, PpSlice, PpSource, PpStatus};

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
    pub socket_open: Option<
        unsafe extern "C" fn(*mut c_void, PpId, *const PpSocketInfo, *mut *mut c_void) -> PpStatus,
    >,
    /// `[io]` A batch.
    pub on_datagrams: Option<
        unsafe extern "C" fn(
            *mut c_void,
            *mut c_void,
            PpId,
            *const PpDatagram,
            usize,
            usize,
        ) -> PpStatus,
    >,
    /// `[io]` After a short `send_datagrams`.
    pub on_writable: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId) -> PpStatus>,
    /// `[io]` The system refused a datagram.
    pub on_send_error: Option<
        unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, *const PpAddr, i32) -> PpStatus,
    >,
    /// `[io]` Somebody called `wake`.
    pub on_wake: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64) -> PpStatus>,
    /// `[io]` A timer fired.
    pub on_timer: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
    /// `[io]` Finish by the deadline.
    pub on_drain: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus>,
    /// `[io]` A dial came to nothing.
    pub on_dial_failed:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64, PpStatus) -> PpStatus>,
    /// `[io]` The end.
    pub socket_closed:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
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
    pub flow_open: Option<
        unsafe extern "C" fn(*mut c_void, PpId, *const PpFlowInfo, *mut *mut c_void) -> PpStatus,
    >,
    /// `[io]` A batch.
    pub on_datagrams: Option<
        unsafe extern "C" fn(
            *mut c_void,
            *mut c_void,
            PpId,
            *const PpDatagram,
            usize,
            usize,
        ) -> PpStatus,
    >,
    /// `[io]` Somebody called `wake`.
    pub on_wake: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64) -> PpStatus>,
    /// `[io]` A timer fired.
    pub on_timer: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
    /// `[io]` Finish by the deadline.
    pub on_drain: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus>,
    /// `[io]` A dial came to nothing.
    pub on_dial_failed:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64, PpStatus) -> PpStatus>,
    /// `[io]` Writes the state of one flow.
    pub export_state:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, *mut PpSink) -> PpStatus>,
    /// `[io]` Takes over one flow.
    pub import_state: Option<
        unsafe extern "C" fn(
            *mut c_void,
            PpId,
            *const PpFlowInfo,
            u32,
            *mut PpSource,
            *mut *mut c_void,
        ) -> PpStatus,
    >,
    /// `[io]` The end.
    pub closed: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
}
