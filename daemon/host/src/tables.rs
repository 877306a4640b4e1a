//! Copies of the tables and texts that a plugin points to, cut or filled up to the sizes that this host knows. In the
//! daemon they are read only after a probe child has read those of the same bytes.

use std::ffi::c_char;

use polyport_abi::{PpFlowOps, PpHandler, PpPlugin, PpSocketOps, PpStreamOps, end_of};

use crate::load_error::{ErrorCode, LoadError};
use crate::raw_args::array;

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

/// Reads what a plugin points to. Who makes one vouches for all pointers that are read by it.
pub(crate) struct PluginMemory(());

impl PluginMemory {
    /// # Safety
    /// Each pointer that is passed to the methods is null, or was reached from a plugin's entry and leads to what the
    /// header says: a table with as many readable bytes as its first member says, a zero-terminated text, or a list.
    pub(crate) unsafe fn trusted() -> Self {
        Self(())
    }

    /// A copy of a table, zero where the plugin's is shorter than ours.
    pub(crate) fn table<T: Table>(&self, from: *const T, what: &str) -> Result<T, LoadError> {
        let missing = || invalid(format!("{what} is a null pointer"));
        self.optional_table(from, what)?.ok_or_else(missing)
    }

    /// The same, `None` for a null pointer.
    pub(crate) fn optional_table<T: Table>(
        &self,
        from: *const T,
        what: &str,
    ) -> Result<Option<T>, LoadError> {
        if from.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, so at least the first member is there by the contract of `trusted`.
        let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
        if size < T::FIRST_SIZE || size > TABLE_MAX || !size.is_multiple_of(8) {
            let first = T::FIRST_SIZE;
            return Err(invalid(format!(
                "{what} says it has {size} bytes, at least {first} must be"
            )));
        }
        let mut table = empty::<T>();
        let into = (&raw mut table).cast::<u8>();
        // SAFETY: the plugin's table has `size` bytes by the contract of `trusted`, ours has its own size, and the two are
        // apart.
        unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), into, size.min(size_of::<T>())) };
        Ok(Some(table))
    }

    /// A copy of a UTF-8 text of at most `max` bytes.
    pub(crate) fn text(
        &self,
        from: *const c_char,
        max: usize,
        what: &str,
    ) -> Result<String, LoadError> {
        let missing = || invalid(format!("{what} is a null pointer"));
        self.optional_text(from, max, what)?.ok_or_else(missing)
    }

    /// The same, `None` for a null pointer.
    pub(crate) fn optional_text(
        &self,
        from: *const c_char,
        max: usize,
        what: &str,
    ) -> Result<Option<String>, LoadError> {
        if from.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, and readable up to a zero by the contract of `trusted`.
        let len = unsafe { libc::strnlen(from, max + 1) };
        if len > max {
            return Err(invalid(format!("{what} is longer than {max} bytes")));
        }
        // SAFETY: `strnlen` has just read these bytes.
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), len) };
        let text = str::from_utf8(bytes);
        let text = text.map_err(|_| invalid(format!("{what} is not UTF-8 text")))?;
        Ok(Some(text.to_owned()))
    }

    /// A list of pointers.
    pub(crate) fn list<T>(&self, from: *const *const T, count: usize) -> Option<&[*const T]> {
        // SAFETY: null, or a list of `count` elements by the contract of `trusted`.
        unsafe { array(from, count) }.ok()
    }
}

/// A table of zeroes: without functions.
pub(crate) fn empty<T: Table>() -> T {
    // SAFETY: all bytes of a `Table` are values, by the contract of that trait.
    unsafe { std::mem::zeroed() }
}

pub(crate) fn invalid(what: impl AsRef<str>) -> LoadError {
    LoadError::new(ErrorCode::TablesInvalid, what)
}

const TABLE_MAX: usize = 64 << 10;
