//! Metrics that the daemon exports for the plugin. A cell is made once, in a `[ctl]` hook
//! ([`Instance::counter`](crate::Instance::counter)), and changed from any thread without a call.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use polyport_abi::{PP_METRIC_COUNTER, PP_METRIC_GAUGE, PpId, PpKv};

use crate::host::host;
use crate::log::{Level, write_raw};
use crate::raw::lend;
use crate::status::Status;

/// A number that never decreases.
#[derive(Clone, Copy, Debug)]
pub struct Counter(&'static AtomicU64);

impl Counter {
    /// Counts `n` more. `[any]`
    #[inline]
    pub fn add(self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The current value. `[any]`
    #[must_use]
    pub fn value(self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(&'static AtomicU64);

impl Gauge {
    /// Adds `n`, which may be negative. `[any]`
    #[inline]
    pub fn add(self, n: i64) {
        self.0.fetch_add(n.cast_unsigned(), Ordering::Relaxed);
    }

    /// Sets the value. `[any]`
    #[inline]
    pub fn set(self, value: i64) {
        self.0.store(value.cast_unsigned(), Ordering::Relaxed);
    }

    /// The current value. `[any]`
    #[must_use]
    pub fn value(self) -> i64 {
        self.0.load(Ordering::Relaxed).cast_signed()
    }
}

/// Name and help of a metric, with labels if it has any.
#[derive(Clone, Copy, Debug)]
pub struct Metric<'a> {
    /// Without the prefix `polyport_plugin_`; a counter ends in `_total`.
    pub name: &'a CStr,
    /// A sentence for people.
    pub help: &'a CStr,
    /// Names and values.
    pub labels: &'a [(&'a str, &'a str)],
}

impl Metric<'_> {
    pub(crate) fn counter(&self, instance: PpId) -> Counter {
        Counter(self.cell(instance, PP_METRIC_COUNTER))
    }

    pub(crate) fn gauge(&self, instance: PpId) -> Gauge {
        Gauge(self.cell(instance, PP_METRIC_GAUGE))
    }

    fn cell(&self, instance: PpId, kind: u32) -> &'static AtomicU64 {
        let labels: Vec<PpKv> = self
            .labels
            .iter()
            .map(|(key, value)| PpKv {
                key: lend(key.as_bytes()),
                value: lend(value.as_bytes()),
            })
            .collect();
        let (name, help) = (self.name.as_ptr(), self.help.as_ptr());
        let mut cell = std::ptr::null_mut();
        let (labels, n) = (labels.as_ptr(), labels.len());
        // SAFETY: names are NUL-terminated, labels live until the call returns, `cell` is a local.
        let code = unsafe { (host().metric)(instance, kind, name, help, labels, n, &raw mut cell) };
        match Status::split(code) {
            // SAFETY: the host returned a static, aligned u64, which all sides access atomically.
            Ok(_) if !cell.is_null() => unsafe { AtomicU64::from_ptr(cell) },
            Ok(_) => self.unpublished(instance, Status::FAIL),
            Err(status) => self.unpublished(instance, status),
        }
    }

    /// A plugin whose metric is refused can still serve.
    fn unpublished(&self, instance: PpId, why: Status) -> &'static AtomicU64 {
        static UNPUBLISHED: AtomicU64 = AtomicU64::new(0);
        let name = self.name.to_string_lossy();
        let line = format_args!("the metric {name} is not published: {why}");
        write_raw(instance, Level::Warn, line, &[]);
        &UNPUBLISHED
    }
}
