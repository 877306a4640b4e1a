//! Between slices of Rust and `pp_slice`: the one place that makes one from the other.

use std::ffi::c_void;
use std::time::Duration;

use polyport_abi::{PpNanos, PpSlice};

/// No bytes.
pub(crate) const EMPTY: PpSlice = PpSlice {
    ptr: std::ptr::null(),
    len: 0,
};

/// Lends bytes to the host for one call.
pub(crate) const fn lend(bytes: &[u8]) -> PpSlice {
    PpSlice {
        ptr: bytes.as_ptr().cast::<c_void>(),
        len: bytes.len(),
    }
}

/// Borrows bytes from the host.
///
/// # Safety
///
/// If `len` is not 0, `ptr` points to `len` readable bytes that nobody writes during `'a`.
pub(crate) const unsafe fn borrow<'a>(slice: PpSlice) -> &'a [u8] {
    // SAFETY: the caller's condition.
    unsafe { borrow_parts(slice.ptr.cast::<u8>(), slice.len) }
}

/// Like [`borrow`], from a pointer and a length.
///
/// # Safety
///
/// As for [`borrow`].
pub(crate) const unsafe fn borrow_parts<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if len == 0 || ptr.is_null() {
        return &[];
    }
    // SAFETY: non-null, and the caller vouches for `len` readable bytes.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// Borrows text from the host; what is not UTF-8 reads as empty.
///
/// # Safety
///
/// As for [`borrow`].
pub(crate) unsafe fn borrow_text<'a>(slice: PpSlice) -> &'a str {
    // SAFETY: the caller's condition.
    let bytes = unsafe { borrow(slice) };
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A length of time as the ABI counts it; what is too long is the longest.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what would be cut is the longest instead"
)]
pub(crate) const fn nanos(span: Duration) -> PpNanos {
    let nanos = span.as_nanos();
    if nanos > PpNanos::MAX as u128 {
        PpNanos::MAX
    } else {
        nanos as PpNanos
    }
}

/// A size as the structs of the ABI begin with.
#[expect(
    clippy::cast_possible_truncation,
    reason = "no struct of the ABI has 4 GiB"
)]
pub(crate) const fn size32<T>() -> u32 {
    size_of::<T>() as u32
}
