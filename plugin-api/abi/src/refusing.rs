//! A host table that refuses every call, for places that have no daemon behind them: an SDK before
//! `init`, a probe, the host of a test. They replace the functions that they implement.

use core::ffi::{c_char, c_void};

use crate::host::PpHost;
use crate::types::{PP_E_CONTEXT, PpId, PpKv, PpNanos, PpSlice, PpStatus};
use crate::version::ABI_MINOR;

/// A table whose functions have no effect: `PP_E_CONTEXT`, no extension, time 0, no line is
/// logged.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "a table of a few hundred bytes"
)]
pub const fn refusing_host() -> PpHost {
    PpHost {
        struct_size: size_of::<PpHost>() as u32,
        abi_minor: ABI_MINOR as u32,
        version: c"none".as_ptr(),
        log_level: &raw const LOG_LEVEL,
        get_extension: no_extension,
        log: ignore,
        now: zero,
        metric: refuse_7,
        wake: refuse_2,
        complete: refuse_3,
        write: refuse_4,
        reserve: refuse_3,
        commit: refuse_3,
        set_reads: refuse_2,
        set_watermarks: refuse_3,
        close: refuse_3,
        attribute: refuse_3,
        timer_set: refuse_4,
        timer_cancel: refuse_2,
        dial: refuse_2,
        send_datagrams: refuse_4,
    }
}

/// Below `PP_LOG_ERROR`: no level is written.
static LOG_LEVEL: u32 = 0;

extern "C" fn no_extension(_: *const c_char) -> *const c_void {
    core::ptr::null()
}
extern "C" fn ignore(_: PpId, _: u32, _: *const PpSlice, _: *const PpKv, _: usize) {}
extern "C" fn zero() -> PpNanos {
    0
}
extern "C" fn refuse_2<A, B>(_: A, _: B) -> PpStatus {
    PP_E_CONTEXT
}
extern "C" fn refuse_3<A, B, C>(_: A, _: B, _: C) -> PpStatus {
    PP_E_CONTEXT
}
extern "C" fn refuse_4<A, B, C, D, R: From<PpStatus>>(_: A, _: B, _: C, _: D) -> R {
    R::from(PP_E_CONTEXT)
}
extern "C" fn refuse_7<A, B, C, D, E, F, G>(_: A, _: B, _: C, _: D, _: E, _: F, _: G) -> PpStatus {
    PP_E_CONTEXT
}
