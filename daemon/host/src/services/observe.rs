//! Host functions that observe: log, clock, metrics.

use std::cell::RefCell;
use std::ffi::c_char;
use std::sync::atomic::{AtomicU64, Ordering};

use polyport_abi as abi;
use polyport_abi::{PpId, PpKv, PpNanos, PpSlice, PpStatus};

use super::LOG_LEVEL;
use crate::boundary::{hook_instance, with_host, with_registry};
use crate::id::Id;
use crate::metrics::{MetricKind, Series};
use crate::raw_args;
use crate::status::HostError;

thread_local! {
    /// The plugin that is being loaded on this thread, for log lines without an id.
    static LOADING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a `[load]` call. Lines that the plugin logs meanwhile carry its name.
pub fn with_loading<R>(plugin: &str, call: impl FnOnce() -> R) -> R {
    LOADING.set(Some(plugin.to_owned()));
    let result = call();
    LOADING.set(None);
    result
}

/// The plugin that is being loaded on this thread; none on a thread that ends.
fn loaded_here() -> Option<String> {
    LOADING
        .try_with(|loading| loading.borrow().clone())
        .ok()
        .flatten()
}

/// Sets the most verbose level that plugins may write, one of `PP_LOG_*`.
pub fn set_log_level(level: u32) {
    LOG_LEVEL.store(level, Ordering::Relaxed);
}

/// The monotonic clock, nanoseconds: the same that a plugin reads by itself.
#[must_use]
pub fn monotonic_now() -> u64 {
    polyport_sys::process::monotonic_nanos()
}

pub(super) unsafe extern "C" fn now() -> PpNanos {
    with_host(|host, _| Ok(host.now())).unwrap_or_else(|_| monotonic_now())
}

pub(super) unsafe extern "C" fn log(
    who: PpId,
    level: u32,
    message: *const PpSlice,
    pairs: *const PpKv,
    n: usize,
) {
    if level > LOG_LEVEL.load(Ordering::Relaxed) {
        return;
    }
    // On a thread that ends, thread-locals of the log's writer may be gone: it panics.
    super::guarded((), || {
        // SAFETY: null or a slice that the plugin lends for this call.
        let message = unsafe { raw_args::text_at(message) };
        // SAFETY: `n` pairs that the plugin lends for this call.
        let pairs = unsafe { raw_args::pairs(pairs, n) }.unwrap_or_default();
        write_line(Id::from_raw(who), level, &message, &pairs);
    });
}

fn write_line(who: Id, level: u32, message: &str, pairs: &[(String, String)]) {
    let id = if who == Id::NONE {
        hook_instance().unwrap_or(who)
    } else {
        who
    };
    let name = with_registry(|registry| {
        let index = registry.instance_of(id)?;
        registry.name_of(index)
    });
    let (instance, plugin, generation) = match name {
        Some(name) => (name.instance, name.plugin, name.generation),
        None => (String::new(), loaded_here().unwrap_or_default(), 0),
    };
    let about = if who == Id::NONE {
        String::new()
    } else {
        who.to_string()
    };
    let data: Vec<String> = pairs
        .iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect();
    let data = data.join(" ");
    macro_rules! line {
        ($level:ident) => {
            tracing::event!(target: "plugin", tracing::Level::$level, plugin, instance, generation, about, data,
                "{message}")
        };
    }
    match level {
        0 | abi::PP_LOG_ERROR => line!(ERROR),
        abi::PP_LOG_WARN => line!(WARN),
        abi::PP_LOG_INFO => line!(INFO),
        abi::PP_LOG_DEBUG => line!(DEBUG),
        _ => line!(TRACE),
    }
}

pub(super) unsafe extern "C" fn metric(
    instance: PpId,
    kind: u32,
    name: *const c_char,
    help: *const c_char,
    labels: *const PpKv,
    n: usize,
    cell: *mut *mut u64,
) -> PpStatus {
    let register = || {
        let own = hook_instance().ok_or(HostError::Context)?;
        if own != Id::from_raw(instance) {
            return Err(HostError::Gone);
        }
        if cell.is_null() {
            return Err(HostError::Invalid);
        }
        let kind = match kind {
            abi::PP_METRIC_COUNTER => MetricKind::Counter,
            abi::PP_METRIC_GAUGE => MetricKind::Gauge,
            _ => return Err(HostError::Invalid),
        };
        // SAFETY: zero-terminated strings that the plugin lends for this call.
        let (name, help) = unsafe {
            (
                raw_args::name(name)?,
                raw_args::name(help).unwrap_or_default(),
            )
        };
        // SAFETY: `n` pairs that the plugin lends for this call.
        let labels = unsafe { raw_args::pairs(labels, n) }?;
        static UNSET: AtomicU64 = AtomicU64::new(0);
        let wanted = Series {
            name: name.to_owned(),
            help: help.to_owned(),
            labels,
            kind,
            cell: &UNSET,
        };
        let registered = with_registry(|registry| registry.metrics().register(own, wanted))?;
        // SAFETY: not null, and a place for a pointer by the header.
        unsafe { cell.write(registered.as_ptr()) };
        Ok(())
    };
    super::status(register)
}
