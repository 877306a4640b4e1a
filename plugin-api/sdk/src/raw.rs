//! Conversion between Rust slices and `pp_slice`.

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
    // SAFETY: not null, and the caller's condition.
    unsafe { std::slice::from_raw_parts(ptr, len) }
}

/// Borrows text from the host; invalid UTF-8 reads as empty.
///
/// # Safety
///
/// As for [`borrow`].
pub(crate) unsafe fn borrow_text<'a>(slice: PpSlice) -> &'a str {
    // SAFETY: the caller's condition.
    let bytes = unsafe { borrow(slice) };
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A duration in nanoseconds, saturating.
#[expect(clippy::cast_possible_truncation, reason = "saturates")]
pub(crate) const fn nanos(span: Duration) -> PpNanos {
    let nanos = span.as_nanos();
    if nanos > PpNanos::MAX as u128 {
        PpNanos::MAX
    } else {
        nanos as PpNanos
    }
}

/// The `struct_size` of a struct.
#[expect(
    clippy::cast_possible_truncation,
    reason = "structs of the ABI are far below 4 GiB"
)]
pub(crate) const fn size32<T>() -> u32 {
    size_of::<T>() as u32
}
