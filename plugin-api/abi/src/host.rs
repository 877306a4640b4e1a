//! Mirror of `host.h`.

use core::ffi::{c_char, c_void};

use crate::types::{PpAddr, PpId, PpKv, PpNanos, PpSlice, PpStatus};

/// End our direction after these bytes.
pub const PP_WRITE_FIN: u32 = 1;
/// Send queued output, then end in order.
pub const PP_CLOSE_FLUSH: u32 = 0;
/// Drop queued output, end in order.
pub const PP_CLOSE_NOW: u32 = 1;
/// Drop queued output and reset.
pub const PP_CLOSE_RESET: u32 = 2;

/// A TCP stream.
pub const PP_DIAL_STREAM: u32 = 0;
/// A connected UDP socket.
pub const PP_DIAL_DATAGRAM: u32 = 1;
/// A Unix stream.
pub const PP_DIAL_UNIX: u32 = 2;
/// A connected Unix datagram socket.
pub const PP_DIAL_UNIXGRAM: u32 = 3;

/// Where to connect.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpDial {
    /// Size known to the writer.
    pub struct_size: u32,
    /// None yet.
    pub flags: u32,
    /// `PP_DIAL_*`.
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// A name from the operator's configuration, or empty.
    pub upstream: PpSlice,
    /// For the Unix kinds.
    pub path: PpSlice,
    /// For the others.
    pub addr: PpAddr,
    /// 0: 10 s.
    pub connect_timeout: PpNanos,
    /// Returned with the result.
    pub tag: u64,
}

/// One datagram to send.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpOut {
    /// The payload.
    pub data: PpSlice,
    /// A peer or flow, or 0.
    pub peer: PpId,
    /// The address when `peer` is 0.
    pub to: *const PpAddr,
    /// The local address to send from, or null.
    pub from: *const PpAddr,
    /// None yet.
    pub flags: u32,
    /// 0.
    pub reserved: u32,
}

/// Never decreases.
pub const PP_METRIC_COUNTER: u32 = 1;
/// A signed number in two's complement.
pub const PP_METRIC_GAUGE: u32 = 2;

/// The functions of the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpHost {
    /// Size known to the host.
    pub struct_size: u32,
    /// Of the host.
    pub abi_minor: u32,
    /// Of the daemon.
    pub version: *const c_char,
    /// The least severe level that is written.
    pub log_level: *const u32,
    /// `[any]` The table of an extension by id, or null.
    pub get_extension: unsafe extern "C" fn(*const c_char) -> *const c_void,
    /// `[any]` Logs a line.
    pub log: unsafe extern "C" fn(PpId, u32, *const PpSlice, *const PpKv, usize),
    /// `[any]` The time.
    pub now: unsafe extern "C" fn() -> PpNanos,
    /// `[ctl]` A metric cell.
    pub metric: unsafe extern "C" fn(
        PpId,
        u32,
        *const c_char,
        *const c_char,
        *const PpKv,
        usize,
        *mut *mut u64,
    ) -> PpStatus,
    /// `[any]` Requests `on_wake`.
    pub wake: unsafe extern "C" fn(PpId, u64) -> PpStatus,
    /// `[any]` Ends a pending hook.
    pub complete: unsafe extern "C" fn(PpId, PpStatus, *const PpSlice) -> PpStatus,
    /// `[io]` Writes to a stream.
    pub write: unsafe extern "C" fn(PpId, *const PpSlice, usize, u32) -> PpStatus,
    /// `[io]` Room to write in place.
    pub reserve: unsafe extern "C" fn(PpId, usize, *mut *mut c_void) -> PpStatus,
    /// `[io]` Sends bytes written in place.
    pub commit: unsafe extern "C" fn(PpId, usize, u32) -> PpStatus,
    /// `[io]` Stops or starts `on_data`.
    pub set_reads: unsafe extern "C" fn(PpId, u32) -> PpStatus,
    /// `[io]` Sets low and high watermark.
    pub set_watermarks: unsafe extern "C" fn(PpId, usize, usize) -> PpStatus,
    /// `[io]` Closes.
    pub close: unsafe extern "C" fn(PpId, u32, *const PpSlice) -> PpStatus,
    /// `[io]` An attribute by name.
    pub attribute: unsafe extern "C" fn(PpId, *const c_char, *mut PpSlice) -> PpStatus,
    /// `[io]` `[ctl]` Sets a timer.
    pub timer_set: unsafe extern "C" fn(PpId, u32, PpNanos, PpNanos) -> PpStatus,
    /// `[io]` `[ctl]` Cancels a timer.
    pub timer_cancel: unsafe extern "C" fn(PpId, u32) -> PpStatus,
    /// `[io]` `[ctl]` Connects.
    pub dial: unsafe extern "C" fn(PpId, *const PpDial) -> PpStatus,
    /// `[io]` Sends datagrams.
    pub send_datagrams: unsafe extern "C" fn(PpId, *const PpOut, usize, usize) -> i64,
}
