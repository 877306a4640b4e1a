//! Copies of the tables and texts that a plugin points to, cut or filled up to the sizes that this host knows. In the
//! daemon they are read only after a probe child has read those of the same bytes.

use std::ffi::c_char;

use polyport_abi::{PpFlowOps, PpHandler, PpPlugin, PpSocketOps, PpStreamOps, end_of};

use crate::load_error::{ErrorCode, LoadError};

/// A table of the ABI that a plugin fills.
///
/// # Safety
/// Only for `repr(C)` structs that begin with a `u32` of their size and for which all bytes are
/// values: integers, raw pointers and `Option`s of function pointers.
pub(crate) unsafe trait Table: Copy {
    /// The bytes that version 1.0 had: no plugin has less.
    const FIRST_SIZE: usize;
}

macro_rules! table {
    ($table:ty, last: $last:ident) => {
        // SAFETY: `repr(C)`, begins with `struct_size: u32`, and all its members are integers, raw
        // pointers or optional function pointers, as its definition in polyport-abi shows.
        unsafe impl Table for $table {
            const FIRST_SIZE: usize = end_of!($table, $last);
        }
    };
}

table!(PpPlugin, last: get_extension);
table!(PpHandler, last: flow);
table!(PpStreamOps, last: closed);
table!(PpSocketOps, last: socket_closed);
table!(PpFlowOps, last: closed);

/// A copy of a table, zero where the plugin's is shorter than ours.
///
/// # Safety
/// Null, or a table of as many readable bytes as its first member says.
pub(crate) unsafe fn table<T: Table>(from: *const T, what: &str) -> Result<T, LoadError> {
    if from.is_null() {
        return Err(invalid(format!("{what} is a null pointer")));
    }
    // SAFETY: not null, so at least the first member is there by this function's contract.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    if size < T::FIRST_SIZE || size > TABLE_MAX || !size.is_multiple_of(8) {
        let first = T::FIRST_SIZE;
        return Err(invalid(format!(
            "{what} says it has {size} bytes, at least {first} must be"
        )));
    }
    let mut table = empty::<T>();
    let into = (&raw mut table).cast::<u8>();
    // SAFETY: the plugin's table has `size` bytes by this function's contract, ours has its own size, and the two are
    // apart.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), into, size.min(size_of::<T>())) };
    Ok(table)
}

/// A table of zeroes: without functions.
pub(crate) fn empty<T: Table>() -> T {
    // SAFETY: all bytes of a `Table` are values, by the contract of that trait.
    unsafe { std::mem::zeroed() }
}

/// The same, `None` for a null pointer.
///
/// # Safety
/// As [`table`].
pub(crate) unsafe fn optional_table<T: Table>(
    from: *const T,
    what: &str,
) -> Result<Option<T>, LoadError> {
    // SAFETY: passed on from this function's contract.
    (!from.is_null())
        .then(|| unsafe { table(from, what) })
        .transpose()
}

/// A copy of a UTF-8 text of at most `max` bytes.
///
/// # Safety
/// Null, or zero-terminated; or readable for more than `max` bytes.
pub(crate) unsafe fn text(
    from: *const c_char,
    max: usize,
    what: &str,
) -> Result<String, LoadError> {
    if from.is_null() {
        return Err(invalid(format!("{what} is a null pointer")));
    }
    // SAFETY: not null, and readable up to a zero or past `max` by this function's contract.
    let len = unsafe { libc::strnlen(from, max + 1) };
    if len > max {
        return Err(invalid(format!("{what} is longer than {max} bytes")));
    }
    // SAFETY: `strnlen` has just read these bytes.
    let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
    let text = str::from_utf8(bytes).map_err(|_| invalid(format!("{what} is not UTF-8 text")))?;
    Ok(text.to_owned())
}

/// The same, `None` for a null pointer.
///
/// # Safety
/// As [`text`].
pub(crate) unsafe fn optional_text(
    from: *const c_char,
    max: usize,
    what: &str,
) -> Result<Option<String>, LoadError> {
    // SAFETY: passed on from this function's contract.
    (!from.is_null())
        .then(|| unsafe { text(from, max, what) })
        .transpose()
}

pub(crate) fn invalid(what: impl AsRef<str>) -> LoadError {
    LoadError::new(ErrorCode::TablesInvalid, what)
}

const TABLE_MAX: usize = 64 << 10;
