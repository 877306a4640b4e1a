//! Mirror of `stream.h`.

use core::ffi::c_void;

use crate::types::{PpAddr, PpId, PpNanos, PpSink, PpSlice, PpSource, PpStatus};

/// The result of a dial.
pub const PP_INFO_OUTBOUND: u32 = 1;
/// Handed over by an older generation.
pub const PP_INFO_MIGRATED: u32 = 2;
/// Under TLS.
pub const PP_INFO_TLS: u32 = 4;

/// What is known of a stream when it begins.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpStreamInfo {
    /// Size known to the host.
    pub struct_size: u32,
    /// `PP_INFO_*`.
    pub flags: u32,
    /// Ours.
    pub local: PpAddr,
    /// The peer's.
    pub remote: PpAddr,
    /// The neighbour on the wire.
    pub direct: PpAddr,
    /// Who dialled, or 0.
    pub parent: PpId,
    /// Of the dial.
    pub tag: u64,
    /// Name of the service.
    pub service: PpSlice,
    /// Name of the listener.
    pub listener: PpSlice,
    /// Of TLS.
    pub sni: PpSlice,
    /// Of TLS.
    pub alpn: PpSlice,
}

/// The peer has ended its direction.
pub const PP_DATA_FIN: u32 = 1;

/// What a handler does with streams; every callback may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpStreamOps {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// `[io]` A stream begins.
    pub open: Option<
        unsafe extern "C" fn(*mut c_void, PpId, *const PpStreamInfo, *mut *mut c_void) -> PpStatus,
    >,
    /// `[io]` Bytes have come.
    pub on_data: Option<
        unsafe extern "C" fn(
            *mut c_void,
            *mut c_void,
            PpId,
            *const u8,
            usize,
            u32,
            *mut usize,
        ) -> i64,
    >,
    /// `[io]` Output fell to the low watermark.
    pub on_writable: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId) -> PpStatus>,
    /// `[io]` Somebody called `wake`.
    pub on_wake: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64) -> PpStatus>,
    /// `[io]` A timer fired.
    pub on_timer: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
    /// `[io]` Say goodbye by the deadline.
    pub on_drain: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus>,
    /// `[io]` A dial came to nothing.
    pub on_dial_failed:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u64, PpStatus) -> PpStatus>,
    /// `[io]` Writes the state of one stream.
    pub export_state:
        Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, *mut PpSink) -> PpStatus>,
    /// `[io]` Takes over one stream.
    pub import_state: Option<
        unsafe extern "C" fn(
            *mut c_void,
            PpId,
            *const PpStreamInfo,
            u32,
            *mut PpSource,
            *mut *mut c_void,
        ) -> PpStatus,
    >,
    /// `[io]` The end.
    pub closed: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, u32) -> PpStatus>,
}
