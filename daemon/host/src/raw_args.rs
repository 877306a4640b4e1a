//! Raw arguments of host functions: pointers and lengths that a plugin passes. Null, alignment and counts are checked here;
//! that the memory is readable is the header's contract. No borrow outlives the host function's call.

use std::ffi::{CStr, c_char};
use std::io::IoSlice;

use polyport_abi::{PpKv, PpSlice};

use crate::status::HostError;

/// Longest text that is taken from a plugin for a log line or a reason, bytes.
pub(crate) const TEXT_MAX: usize = 4096;
/// Up to so many pieces of output need no allocation.
const PIECES_FEW: usize = 16;
/// Most elements in an array that a plugin passes.
const ELEMENTS_MAX: usize = 1 << 16;

/// The bytes of a slice.
///
/// # Safety
/// If `len` is not 0, `ptr` must point to `len` readable bytes until the host function returns.
pub(crate) unsafe fn bytes<'a>(slice: PpSlice) -> Result<&'a [u8], HostError> {
    if slice.len == 0 {
        return Ok(&[]);
    }
    if slice.ptr.is_null() || slice.len > isize::MAX.unsigned_abs() {
        return Err(HostError::Invalid);
    }
    // SAFETY: not null, and readable for `len` bytes by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(slice.ptr.cast::<u8>(), slice.len) })
}

/// An array of slices as pieces of output.
///
/// # Safety
/// `first` points to `count` slices, each as [`bytes`] requires.
pub(crate) unsafe fn pieces<R>(
    first: *const PpSlice,
    count: usize,
    take: impl FnOnce(&[IoSlice<'_>]) -> Result<R, HostError>,
) -> Result<R, HostError> {
    // SAFETY: passed on from this function's contract.
    let slices = unsafe { array(first, count) }?;
    if let [only] = slices {
        // SAFETY: passed on from this function's contract.
        return take(&[IoSlice::new(unsafe { bytes(*only) }?)]);
    }
    let mut few = [IoSlice::new(&[]); PIECES_FEW];
    let mut many = Vec::new();
    let pieces = match few.get_mut(..slices.len()) {
        Some(few) => few,
        None => {
            many.resize(slices.len(), IoSlice::new(&[]));
            many.as_mut_slice()
        }
    };
    for (piece, slice) in pieces.iter_mut().zip(slices) {
        // SAFETY: passed on from this function's contract.
        *piece = IoSlice::new(unsafe { bytes(*slice) }?);
    }
    take(pieces)
}

/// An array of elements.
///
/// # Safety
/// If `count` is not 0, `first` points to `count` readable elements.
pub(crate) unsafe fn array<'a, T>(first: *const T, count: usize) -> Result<&'a [T], HostError> {
    if count == 0 {
        return Ok(&[]);
    }
    if first.is_null() || !first.is_aligned() || count > ELEMENTS_MAX {
        return Err(HostError::Invalid);
    }
    // SAFETY: not null, aligned, and readable for `count` elements by this function's contract.
    Ok(unsafe { std::slice::from_raw_parts(first, count) })
}

/// The text of a slice, cut to [`TEXT_MAX`] bytes; invalid UTF-8 is replaced.
///
/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text(slice: PpSlice) -> String {
    // SAFETY: passed on from this function's contract.
    let all = unsafe { bytes(slice) }.unwrap_or_default();
    String::from_utf8_lossy(all.get(..TEXT_MAX).unwrap_or(all)).into_owned()
}

/// The text behind a pointer to a slice that may be null.
///
/// # Safety
/// Null, or a readable slice as [`bytes`] requires.
pub(crate) unsafe fn text_at(slice: *const PpSlice) -> String {
    // SAFETY: passed on from this function's contract; null gives None.
    match unsafe { slice.as_ref() } {
        // SAFETY: passed on from this function's contract.
        Some(slice) => unsafe { text(*slice) },
        None => String::new(),
    }
}

/// The pairs of a log line or the labels of a metric.
///
/// # Safety
/// `first` points to `count` pairs of slices as [`bytes`] requires.
pub(crate) unsafe fn pairs(
    first: *const PpKv,
    count: usize,
) -> Result<Vec<(String, String)>, HostError> {
    // SAFETY: passed on from this function's contract.
    let pairs = unsafe { array(first, count) }?;
    // SAFETY: passed on from this function's contract.
    Ok(pairs
        .iter()
        .map(|kv| unsafe { (text(kv.key), text(kv.value)) })
        .collect())
}

/// A zero-terminated name.
///
/// # Safety
/// Null, or the first byte of a readable zero-terminated string.
pub(crate) unsafe fn name<'a>(first: *const c_char) -> Result<&'a str, HostError> {
    if first.is_null() {
        return Err(HostError::Invalid);
    }
    // SAFETY: not null, and zero-terminated by this function's contract.
    unsafe { CStr::from_ptr(first) }
        .to_str()
        .map_err(|_| HostError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_args_pieces_are_those_that_were_passed() {
        let text: Vec<u8> = (0..40).collect();
        for count in [0, 1, 2, PIECES_FEW, PIECES_FEW + 1, 40] {
            let slices: Vec<_> = text
                .iter()
                .take(count)
                .map(|byte| PpSlice {
                    ptr: std::ptr::from_ref(byte).cast(),
                    len: 1,
                })
                .collect();
            let joined =
                |pieces: &[IoSlice<'_>]| Ok(pieces.iter().flat_map(|one| one.to_vec()).collect());
            // SAFETY: the slices are of `text`.
            let seen: Result<Vec<u8>, _> = unsafe { pieces(slices.as_ptr(), count, joined) };
            assert_eq!(seen.as_deref(), Ok(&text[..count]));
        }
    }

    #[test]
    fn raw_args_accept_null_only_with_length_0() {
        let null = |len| PpSlice {
            ptr: std::ptr::null(),
            len,
        };
        // SAFETY: nothing is read behind a null pointer.
        unsafe {
            assert_eq!(bytes(null(0)), Ok(&[][..]));
            assert_eq!(bytes(null(1)), Err(HostError::Invalid));
            assert_eq!(array::<u64>(std::ptr::null(), 1), Err(HostError::Invalid));
            assert_eq!(name(std::ptr::null()), Err(HostError::Invalid));
        }
    }
}
