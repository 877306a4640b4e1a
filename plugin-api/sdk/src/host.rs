//! Where the host's table is kept between `init` and the end of the process.
//!
//! Each loaded copy of a plugin has its own statics, so each generation has its own table. Before
//! `init` a stub stands there that refuses everything, so that no call needs to ask whether a host
//! exists.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use polyport_abi::{
    ABI_MINOR, PP_E_CONTEXT, PpDial, PpHost, PpId, PpKv, PpNanos, PpOut, PpSlice, PpStatus,
};

use crate::raw::size32;

static HOST: AtomicPtr<PpHost> = AtomicPtr::new((&raw const STUB.0).cast_mut());

/// The table of the host, or the stub.
#[inline]
pub(crate) fn host() -> &'static PpHost {
    // SAFETY: either the stub, which is static, or what `install` was given, which is static by R2
    // of the ABI.
    unsafe { &*HOST.load(Ordering::Acquire) }
}

/// The most talkative level that is written.
#[inline]
pub(crate) fn log_level() -> u32 {
    let level = host().log_level.cast_mut();
    // SAFETY: `log_level` is a static, aligned u32 that the host writes atomically; it is only
    // loaded here.
    unsafe { AtomicU32::from_ptr(level) }.load(Ordering::Relaxed)
}

/// Keeps the host's table; false if it is shorter than what this SDK uses.
///
/// # Safety
///
/// `table` points to the table that the host gave to `init`, or is null.
pub(crate) unsafe fn install(table: *const PpHost) -> bool {
    if table.is_null() {
        return false;
    }
    // SAFETY: not null, and each table begins with its size.
    let size = unsafe { (*table).struct_size };
    if (size as usize) < size_of::<PpHost>() {
        return false;
    }
    HOST.store(table.cast_mut(), Ordering::Release);
    true
}

struct Stub(PpHost);
// SAFETY: the stub is never written, and its pointers point to statics that are never written.
unsafe impl Sync for Stub {}

static SILENT: u32 = 0;
static STUB: Stub = Stub(PpHost {
    struct_size: size32::<PpHost>(),
    abi_minor: ABI_MINOR as u32,
    version: VERSION.as_ptr(),
    log_level: &raw const SILENT,
    get_extension,
    log,
    now,
    metric,
    wake,
    complete,
    write,
    reserve,
    commit,
    set_reads,
    set_watermarks,
    close,
    attribute,
    timer_set,
    timer_cancel,
    dial,
    send_datagrams,
});
const VERSION: &CStr = c"none";

unsafe extern "C" fn get_extension(_: *const c_char) -> *const c_void {
    std::ptr::null()
}
unsafe extern "C" fn log(_: PpId, _: u32, _: *const PpSlice, _: *const PpKv, _: usize) {}
unsafe extern "C" fn now() -> PpNanos {
    0
}
unsafe extern "C" fn metric(
    _: PpId,
    _: u32,
    _: *const c_char,
    _: *const c_char,
    _: *const PpKv,
    _: usize,
    _: *mut *mut u64,
) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn wake(_: PpId, _: u64) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn complete(_: PpId, _: PpStatus, _: *const PpSlice) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn write(_: PpId, _: *const PpSlice, _: usize, _: u32) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn reserve(_: PpId, _: usize, _: *mut *mut c_void) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn commit(_: PpId, _: usize, _: u32) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn set_reads(_: PpId, _: u32) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn set_watermarks(_: PpId, _: usize, _: usize) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn close(_: PpId, _: u32, _: *const PpSlice) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn attribute(_: PpId, _: *const c_char, _: *mut PpSlice) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn timer_set(_: PpId, _: u32, _: PpNanos, _: PpNanos) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn timer_cancel(_: PpId, _: u32) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn dial(_: PpId, _: *const PpDial) -> PpStatus {
    PP_E_CONTEXT
}
unsafe extern "C" fn send_datagrams(_: PpId, _: *const PpOut, _: usize, _: usize) -> i64 {
    PP_E_CONTEXT as i64
}
