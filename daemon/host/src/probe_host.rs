//! The host as a probe child plays it: time and log work, all else is refused, for nothing is
//! served here.

use std::ffi::{c_char, c_void};
use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use polyport_abi::{
    ABI_MINOR, PP_E_CONTEXT, PP_E_GONE, PP_LOG_DEBUG, PpDial, PpHost, PpId, PpKv, PpNanos, PpOut,
    PpSlice, PpStatus,
};

use crate::raw_args;

/// A host that serves nothing: time and log work, all else says no. Static, as the header promises.
pub fn table() -> &'static PpHost {
    &TABLE.get_or_init(|| Table(host())).0
}

struct Table(PpHost);

// SAFETY: its two pointers lead to statics, and nothing writes through them.
unsafe impl Send for Table {}
// SAFETY: it never changes after it was made.
unsafe impl Sync for Table {}

static TABLE: OnceLock<Table> = OnceLock::new();
static LOG_LEVEL: AtomicU32 = AtomicU32::new(PP_LOG_DEBUG);

fn host() -> PpHost {
    PpHost {
        struct_size: u32::try_from(size_of::<PpHost>()).unwrap_or(0),
        abi_minor: ABI_MINOR.into(),
        version: VERSION.as_ptr().cast(),
        log_level: LOG_LEVEL.as_ptr(),
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
    }
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

unsafe extern "C" fn get_extension(_: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn log(
    _: PpId,
    level: u32,
    message: *const PpSlice,
    pairs: *const PpKv,
    count: usize,
) {
    // SAFETY: a slice that the plugin lends for this call, by the header's rule R2.
    let mut line = unsafe { raw_args::text_at(message) };
    // SAFETY: pairs that the plugin lends for this call, by the header's rule R2.
    for (key, value) in unsafe { raw_args::pairs(pairs, count) }.unwrap_or_default() {
        line.push_str(&format!(" {key}={value}"));
    }
    let level = LEVELS.get(level as usize).unwrap_or(&"log");
    writeln!(io::stderr(), "{level}: {line}").unwrap_or_default();
}

const LEVELS: [&str; 6] = ["log", "error", "warn", "info", "debug", "trace"];

unsafe extern "C" fn now() -> PpNanos {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a local that the call fills.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec)
        .saturating_mul(1_000_000_000)
        .saturating_add(part(time.tv_nsec))
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

// No id has been given out, so each that comes is stale.
unsafe extern "C" fn wake(_: PpId, _: u64) -> PpStatus {
    PP_E_GONE
}

unsafe extern "C" fn complete(_: PpId, _: PpStatus, _: *const PpSlice) -> PpStatus {
    PP_E_GONE
}

// The rest belongs into callbacks that a probe never makes.
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
    i64::from(PP_E_CONTEXT)
}
