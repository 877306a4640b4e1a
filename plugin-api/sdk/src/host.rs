//! The host table of this plugin, from `init` to the end of the process.
//!
//! Each loaded copy of a plugin has its own statics, so each generation has its own table. Before
//! `init` the table refuses every call, so no call checks whether a host exists.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use polyport_abi::{PpHost, refusing_host};

static HOST: AtomicPtr<PpHost> = AtomicPtr::new((&raw const STUB.0).cast_mut());

/// The host table, or the stub.
#[inline]
pub(crate) fn host() -> &'static PpHost {
    // SAFETY: either the stub, which is static, or the argument of `install`, which is static by R2
    // of the ABI.
    unsafe { &*HOST.load(Ordering::Acquire) }
}

/// The least severe level that is written.
#[inline]
pub(crate) fn log_level() -> u32 {
    let level = host().log_level.cast_mut();
    // SAFETY: `log_level` is a static, aligned u32 that the host writes atomically; this is a load.
    unsafe { AtomicU32::from_ptr(level) }.load(Ordering::Relaxed)
}

/// Stores the host table; returns false if it is shorter than this SDK requires.
///
/// # Safety
///
/// `table` is null or the table that the host passed to `init`.
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

static STUB: Stub = Stub(refusing_host());
