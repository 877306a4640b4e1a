//! Mirror of `plugin.h`.

use core::ffi::{c_char, c_void};

use crate::datagram::{PpFlowOps, PpSocketOps};
use crate::stream::PpStreamOps;
use crate::types::{PpId, PpNanos, PpReport, PpSink, PpSlice, PpSource, PpStatus};

/// All callbacks of one stream on one OS thread.
pub const PP_HF_PINNED: u32 = 1;
/// State can exist in one generation only.
pub const PP_HF_EXCLUSIVE: u32 = 2;
/// Do not pause reads while output is above high.
pub const PP_HF_MANUAL_FLOW: u32 = 4;

/// A hook that gets an operation id and may be deferred.
pub type PpHook = unsafe extern "C" fn(*mut c_void, PpId) -> PpStatus;

/// A handler; each callback may be absent.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpHandler {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// `PP_HF_*`.
    pub flags: u32,
    /// The name in the configuration.
    pub id: *const c_char,
    /// A line for people.
    pub summary: *const c_char,
    /// JSON Schema of the configuration, or null.
    pub config_schema: *const c_char,
    /// Written by `save_state` and `export_state`.
    pub state_version: u32,
    /// Oldest version read.
    pub state_min_version: u32,
    /// `[pure]` Checks a configuration.
    pub validate: Option<unsafe extern "C" fn(*const PpSlice, *mut PpReport) -> PpStatus>,
    /// `[ctl]` Creates an instance.
    pub create: Option<
        unsafe extern "C" fn(PpId, *const PpSlice, *mut PpReport, *mut *mut c_void) -> PpStatus,
    >,
    /// `[ctl]` New configuration for a running instance.
    pub reconfigure:
        Option<unsafe extern "C" fn(*mut c_void, *const PpSlice, *mut PpReport) -> PpStatus>,
    /// `[ctl]` Reads saved state.
    pub restore_state:
        Option<unsafe extern "C" fn(*mut c_void, u32, *mut PpSource, *mut PpReport) -> PpStatus>,
    /// `[ctl]` Threads may start.
    pub start: Option<PpHook>,
    /// `[ctl]` No new streams follow.
    pub drain: Option<unsafe extern "C" fn(*mut c_void, PpId, PpNanos) -> PpStatus>,
    /// `[ctl]` Writes the state.
    pub save_state: Option<unsafe extern "C" fn(*mut c_void, PpId, *mut PpSink) -> PpStatus>,
    /// `[ctl]` Join all threads.
    pub stop: Option<PpHook>,
    /// `[ctl]` The last call.
    pub destroy: Option<unsafe extern "C" fn(*mut c_void) -> PpStatus>,
    /// `[ctl]` Release resources that cannot be shared.
    pub freeze: Option<PpHook>,
    /// `[ctl]` The reload was undone: resume.
    pub thaw: Option<PpHook>,
    /// `[ctl]` `wake` was called.
    pub on_wake: Option<unsafe extern "C" fn(*mut c_void, u64) -> PpStatus>,
    /// `[ctl]` A timer fired.
    pub on_timer: Option<unsafe extern "C" fn(*mut c_void, u32) -> PpStatus>,
    /// `[ctl]` A dial failed.
    pub on_dial_failed: Option<unsafe extern "C" fn(*mut c_void, u64, PpStatus) -> PpStatus>,
    /// `[ctl]` Whether the instance is ready.
    pub health: Option<unsafe extern "C" fn(*mut c_void, *mut PpReport) -> PpStatus>,
    /// Null: no streams.
    pub stream: *const PpStreamOps,
    /// Null: no datagrams.
    pub socket: *const PpSocketOps,
    /// Null: no flows.
    pub flow: *const PpFlowOps,
}
