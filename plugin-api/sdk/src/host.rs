//! Where the host's table is kept between `init` and the end of the process.
//!
//! Each loaded copy of a plugin has its own statics, so each generation has its own table. Before
//! `init` a stub stands there that refuses everything, so that no call needs to ask whether a host
//! exists.

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use polyport_abi::{PpHost, refusing_host};

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

static STUB: Stub = Stub(refusing_host());
