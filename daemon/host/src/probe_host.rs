//! The host table of a probe child: time and log work, all other functions refuse, because a probe
//! serves nothing.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use polyport_abi::{
    PP_E_GONE, PP_LOG_DEBUG, PpHost, PpId, PpKv, PpNanos, PpSlice, PpStatus, refusing_host,
};

use crate::raw_args;

/// The host table of a probe: time and log work, every other function refuses. Static, as the header
/// promises.
pub fn table() -> &'static PpHost {
    &TABLE.get_or_init(|| Table(host())).0
}

struct Table(PpHost);

// SAFETY: its pointers lead to statics, and nothing writes through them.
unsafe impl Send for Table {}
// SAFETY: the table never changes after it was made.
unsafe impl Sync for Table {}

static TABLE: OnceLock<Table> = OnceLock::new();
static LOG_LEVEL: AtomicU32 = AtomicU32::new(PP_LOG_DEBUG);

fn host() -> PpHost {
    PpHost {
        version: VERSION.as_ptr().cast(),
        log_level: LOG_LEVEL.as_ptr(),
        log,
        now,
        wake,
        complete,
        ..refusing_host()
    }
}

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

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

// A probe gives no id out, so every id is stale.
extern "C" fn wake(_: PpId, _: u64) -> PpStatus {
    PP_E_GONE
}

extern "C" fn complete(_: PpId, _: PpStatus, _: *const PpSlice) -> PpStatus {
    PP_E_GONE
}
