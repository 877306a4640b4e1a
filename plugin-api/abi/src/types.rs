//! Mirror of `types.h`.

use core::ffi::c_void;

/// Identifies an instance, stream, socket, flow, peer or operation; 0: none.
pub type PpId = u64;
/// 0 done, above 0 done with a remark, below 0 refused.
pub type PpStatus = i32;
/// Nanoseconds; points in time are `CLOCK_MONOTONIC`.
pub type PpNanos = u64;

/// Done.
pub const PP_OK: PpStatus = 0;
/// The hook is not finished and ends by `complete`.
pub const PP_S_PENDING: PpStatus = 1;
/// Accepted, but output is above the high watermark.
pub const PP_S_ABOVE_HIGH: PpStatus = 2;
/// The id is stale, foreign or of the wrong kind.
pub const PP_E_GONE: PpStatus = -1;
/// An argument is out of its range.
pub const PP_E_INVAL: PpStatus = -2;
/// A bound is reached; nothing was accepted.
pub const PP_E_FULL: PpStatus = -3;
/// Called from a context that the function's tag does not allow.
pub const PP_E_CONTEXT: PpStatus = -4;
/// Not supported by this build or this kind of object.
pub const PP_E_UNSUPPORTED: PpStatus = -5;
/// The operator's policy or the system forbids it.
pub const PP_E_DENIED: PpStatus = -6;
/// The object or its instance is ending.
pub const PP_E_CLOSING: PpStatus = -7;
/// A panic was caught inside the plugin.
pub const PP_E_PANIC: PpStatus = -8;
/// Failed; the reason was reported or logged.
pub const PP_E_FAIL: PpStatus = -9;
/// A deadline of the host passed.
pub const PP_E_TIMEOUT: PpStatus = -10;
/// The peer refused the connection.
pub const PP_E_REFUSED: PpStatus = -11;
/// No route to the peer.
pub const PP_E_UNREACHABLE: PpStatus = -12;

/// Bytes or UTF-8 text, not NUL-terminated; borrowed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpSlice {
    /// First byte; may be anything when `len` is 0.
    pub ptr: *const c_void,
    /// Bytes.
    pub len: usize,
}

/// No address.
pub const PP_FAMILY_NONE: u16 = 0;
/// A Unix address; its path by `attribute`.
pub const PP_FAMILY_UNIX: u16 = 1;
/// IPv4 in `ip[0..4]`.
pub const PP_FAMILY_V4: u16 = 4;
/// IPv6.
pub const PP_FAMILY_V6: u16 = 6;

/// An address; `port` in host order, `ip` in network order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PpAddr {
    /// `PP_FAMILY_*`.
    pub family: u16,
    /// In host order.
    pub port: u16,
    /// IPv6 scope.
    pub scope: u32,
    /// In network order.
    pub ip: [u8; 16],
}

/// A key and its value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpKv {
    /// The key.
    pub key: PpSlice,
    /// The value.
    pub value: PpSlice,
}

/// Something the operator must act on.
pub const PP_LOG_ERROR: u32 = 1;
/// Something the operator may want to act on.
pub const PP_LOG_WARN: u32 = 2;
/// A state of the plugin.
pub const PP_LOG_INFO: u32 = 3;
/// For the author.
pub const PP_LOG_DEBUG: u32 = 4;
/// For the author, in quantity.
pub const PP_LOG_TRACE: u32 = 5;

/// The configuration or state cannot be used.
pub const PP_REPORT_ERROR: u32 = 1;
/// It can be used, and the operator should know.
pub const PP_REPORT_WARNING: u32 = 2;

/// Receives the findings of `validate`, `create` and `restore_state`.
#[repr(C)]
#[derive(Debug)]
pub struct PpReport {
    /// For the host.
    pub ctx: *mut c_void,
    /// Adds a finding: severity, JSON pointer, message.
    pub add: unsafe extern "C" fn(*mut Self, u32, *const PpSlice, *const PpSlice),
}

/// Writes state.
#[repr(C)]
#[derive(Debug)]
pub struct PpSink {
    /// For the host.
    pub ctx: *mut c_void,
    /// Accepts all bytes, or returns a `PP_E_*`.
    pub write: unsafe extern "C" fn(*mut Self, *const c_void, usize) -> i64,
}

/// Reads state.
#[repr(C)]
#[derive(Debug)]
pub struct PpSource {
    /// For the host.
    pub ctx: *mut c_void,
    /// Fills the buffer from the front; 0 at the end, or a `PP_E_*`.
    pub read: unsafe extern "C" fn(*mut Self, *mut c_void, usize) -> i64,
}

/// Both directions ended in order.
pub const PP_END_DONE: u32 = 1;
/// The handler closed it.
pub const PP_END_HANDLER: u32 = 2;
/// The peer reset it or vanished.
pub const PP_END_PEER_RESET: u32 = 3;
/// No byte within the idle timeout.
pub const PP_END_IDLE: u32 = 10;
/// No first byte in time.
pub const PP_END_FIRST_BYTE: u32 = 11;
/// The peer did not read within the write timeout.
pub const PP_END_WRITE: u32 = 12;
/// The lifetime of the stream is over.
pub const PP_END_LIFETIME: u32 = 13;
/// The handler wants more bytes than the host may buffer.
pub const PP_END_TOO_LARGE: u32 = 14;
/// The peer ended in the middle of a message.
pub const PP_END_PARTIAL: u32 = 15;
/// A callback failed, panicked or returned an impossible value.
pub const PP_END_PLUGIN_FAULT: u32 = 20;
/// Shutdown or reload, in order.
pub const PP_END_DRAIN: u32 = 30;
/// Shutdown: the grace period ran out.
pub const PP_END_FORCED: u32 = 31;
/// The operator ended it.
pub const PP_END_OPERATOR: u32 = 32;
/// The system refused something.
pub const PP_END_HOST: u32 = 33;
/// Another generation took it over.
pub const PP_END_MIGRATED: u32 = 34;
