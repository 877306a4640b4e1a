//! Mirror of `stream.h`.

use core::ffi::c_void;

use crate::callback::{PpCallback, PpCallback2, PpImport, PpNotify, PpOpen};
use crate::types::{PpAddr, PpId, PpNanos, PpSink, PpSlice, PpStatus};

/// Result of a dial.
pub const PP_INFO_OUTBOUND: u32 = 1;
/// Taken over from an older generation.
pub const PP_INFO_MIGRATED: u32 = 2;
/// Under TLS.
pub const PP_INFO_TLS: u32 = 4;

/// Facts about a stream when it opens.
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
    /// The connected peer.
    pub direct: PpAddr,
    /// The owner of the dial, or 0.
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

/// The callbacks of streams; each may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpStreamOps {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// 0.
    pub reserved: u32,
    /// `[io]` A stream opens.
    pub open: PpOpen<PpStreamInfo>,
    /// `[io]` Delivers received bytes.
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
    pub on_writable: PpNotify,
    /// `[io]` `wake` was called.
    pub on_wake: PpCallback<u64>,
    /// `[io]` A timer fired.
    pub on_timer: PpCallback<u32>,
    /// `[io]` Finish the protocol by the deadline.
    pub on_drain: PpCallback<PpNanos>,
    /// `[io]` A dial failed.
    pub on_dial_failed: PpCallback2<u64, PpStatus>,
    /// `[io]` Writes the state of one stream.
    pub export_state: PpCallback<*mut PpSink>,
    /// `[io]` Takes over one stream.
    pub import_state: PpImport<PpStreamInfo>,
    /// `[io]` The last callback.
    pub closed: PpCallback<u32>,
}
