//! Reads memory that a plugin points to, by way of the kernel: what is not there is an error.

use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use polyport_abi::{PpFlowOps, PpHandler, PpPlugin, PpSocketOps, PpStreamOps, end_of};

use crate::refusal::{Code, Refusal};

/// An address that a plugin gave, and what it is said to be.
#[derive(Debug)]
pub(crate) struct Claim {
    address: u64,
    what: String,
}

impl Claim {
    pub(crate) fn new<T>(pointer: *const T, what: impl Into<String>) -> Self {
        Self {
            address: pointer.addr() as u64,
            what: what.into(),
        }
    }

    pub(crate) fn at(address: u64, what: impl Into<String>) -> Self {
        Self {
            address,
            what: what.into(),
        }
    }

    fn unreadable(&self) -> Refusal {
        let Self { address, what } = self;
        match address {
            0 => invalid(format!("{what} is a null pointer")),
            _ => invalid(format!("{what} is not at {address:#x}, where it should be")),
        }
    }
}

/// A table of the ABI that a plugin fills.
///
/// # Safety
/// Only for `repr(C)` structs that begin with a `u32` of their size and for which all bytes are
/// values: integers, raw pointers and `Option`s of function pointers.
pub(crate) unsafe trait Table: Copy {
    /// The bytes that version 1.0 had: no plugin has less.
    const FIRST_SIZE: usize;
    /// Where its function pointers stand, one after the other.
    const FUNCTIONS: Range<usize>;
}

/// Tables of function pointers from a member to the end of what version 1.0 had, and beyond.
macro_rules! table {
    ($table:ty, functions: $first:ident .. $last_function:ident, last: $last:ident) => {
        // SAFETY: `repr(C)`, begins with `struct_size: u32`, and all its members are integers, raw
        // pointers or optional function pointers, as its definition in polyport-abi shows.
        unsafe impl Table for $table {
            const FIRST_SIZE: usize = end_of!($table, $last);
            const FUNCTIONS: Range<usize> =
                core::mem::offset_of!($table, $first)..end_of!($table, $last_function);
        }
    };
}

table!(PpPlugin, functions: init..get_extension, last: get_extension);
table!(PpHandler, functions: validate..health, last: flow);
table!(PpStreamOps, functions: open..closed, last: closed);
table!(PpSocketOps, functions: socket_open..socket_closed, last: socket_closed);
table!(PpFlowOps, functions: flow_open..closed, last: closed);

/// The memory of this process as the kernel sees it.
#[derive(Debug)]
pub(crate) struct Memory {
    file: File,
    code: Vec<Range<u64>>,
}

impl Memory {
    pub(crate) fn of_this_process() -> Result<Self, Refusal> {
        let blind = |error: io::Error| {
            Refusal::new(
                Code::ProbeFailed,
                format!("/proc/self cannot be read: {error}"),
            )
        };
        let file = File::open("/proc/self/mem").map_err(blind)?;
        let maps = fs::read_to_string("/proc/self/maps").map_err(blind)?;
        Ok(Self {
            file,
            code: maps.lines().filter_map(code_range).collect(),
        })
    }

    /// A copy of the table that `claim` points to, zero where the plugin's is shorter than ours.
    pub(crate) fn table<T: Table>(&self, claim: &Claim) -> Result<T, Refusal> {
        let mut head = [0; 4];
        self.read(claim, 0, &mut head)?;
        let said = u32::from_ne_bytes(head) as usize;
        if said < T::FIRST_SIZE || said > TABLE_MAX || !said.is_multiple_of(8) {
            let (what, first) = (&claim.what, T::FIRST_SIZE);
            return Err(invalid(format!(
                "{what} says it has {said} bytes, at least {first} must be"
            )));
        }
        let mut bytes = vec![0; size_of::<T>()];
        let shared = bytes
            .get_mut(..said.min(size_of::<T>()))
            .unwrap_or_default();
        self.read(claim, 0, shared)?;
        let functions = bytes.get(T::FUNCTIONS).unwrap_or_default();
        for (index, word) in functions.chunks_exact(8).enumerate() {
            let address = word.try_into().map_or(0, u64::from_ne_bytes);
            if address != 0 && !self.is_code(address) {
                let what = &claim.what;
                return Err(invalid(format!(
                    "function {index} of {what} points to no code"
                )));
            }
        }
        let mut table = MaybeUninit::<T>::zeroed();
        // SAFETY: `bytes` has `size_of::<T>()` bytes by construction, `table` has room for them,
        // and the two are apart.
        unsafe {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), table.as_mut_ptr().cast(), bytes.len());
        }
        // SAFETY: all bytes of a `Table` are values, by the contract of that trait.
        Ok(unsafe { table.assume_init() })
    }

    /// The same, `None` for a null pointer.
    pub(crate) fn optional_table<T: Table>(&self, claim: &Claim) -> Result<Option<T>, Refusal> {
        if claim.address == 0 {
            Ok(None)
        } else {
            self.table(claim).map(Some)
        }
    }

    /// The zero-terminated UTF-8 text that `claim` points to, of at most `max` bytes.
    pub(crate) fn text(&self, claim: &Claim, max: usize) -> Result<String, Refusal> {
        let mut text = Vec::new();
        while text.len() <= max {
            let mut chunk = [0; 256];
            let got = self.read_some(claim, text.len() as u64, &mut chunk)?;
            let chunk = chunk.get(..got).unwrap_or_default();
            let end = chunk.iter().position(|byte| *byte == 0);
            text.extend_from_slice(chunk.get(..end.unwrap_or(got)).unwrap_or_default());
            if end.is_some() && text.len() <= max {
                let what = &claim.what;
                return String::from_utf8(text)
                    .map_err(|_| invalid(format!("{what} is not UTF-8 text")));
            }
        }
        Err(invalid(format!(
            "{} is longer than {max} bytes",
            claim.what
        )))
    }

    /// The same, `None` for a null pointer.
    pub(crate) fn optional_text(
        &self,
        claim: &Claim,
        max: usize,
    ) -> Result<Option<String>, Refusal> {
        if claim.address == 0 {
            Ok(None)
        } else {
            self.text(claim, max).map(Some)
        }
    }

    /// `count` pointers, as addresses.
    pub(crate) fn words(&self, claim: &Claim, count: usize) -> Result<Vec<u64>, Refusal> {
        let mut bytes = vec![0; count.saturating_mul(8)];
        self.read(claim, 0, &mut bytes)?;
        let words = bytes
            .chunks_exact(8)
            .filter_map(|word| word.try_into().ok());
        Ok(words.map(u64::from_ne_bytes).collect())
    }

    fn read(&self, claim: &Claim, skip: u64, into: &mut [u8]) -> Result<(), Refusal> {
        let address = claim
            .address
            .checked_add(skip)
            .filter(|_| claim.address != 0);
        let done = address.map(|address| self.file.read_exact_at(into, address));
        match done {
            Some(Ok(())) => Ok(()),
            _ => Err(claim.unreadable()),
        }
    }

    /// As much as there is, at least one byte.
    fn read_some(&self, claim: &Claim, skip: u64, into: &mut [u8]) -> Result<usize, Refusal> {
        let address = claim
            .address
            .checked_add(skip)
            .filter(|_| claim.address != 0);
        let got = address.map(|address| self.file.read_at(into, address));
        match got {
            Some(Ok(got @ 1..)) => Ok(got),
            _ => Err(claim.unreadable()),
        }
    }

    fn is_code(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }
}

pub(crate) fn invalid(what: impl AsRef<str>) -> Refusal {
    Refusal::new(Code::TablesInvalid, what)
}

/// The addresses of a line of `/proc/self/maps` whose memory may be executed.
fn code_range(line: &str) -> Option<Range<u64>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    words.next()?.contains('x').then_some(())?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
}

const TABLE_MAX: usize = 64 << 10;
