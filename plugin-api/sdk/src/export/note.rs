//! The identity of a plugin, and its ELF note, which is read before any of its code runs.

use polyport_abi::{
    ABI_MAJOR, ABI_MINOR, NOTE_HEADER_LEN, NOTE_OWNER, PP_NOTE_TYPE, PP_PF_PANIC_ABORT, PpHost,
    PpNote,
};

use crate::raw::size32;

/// The identity of a plugin; each text ends in NUL.
#[derive(Debug)]
pub struct Identity {
    /// In reverse domain form.
    pub id: &'static str,
    /// Of the package.
    pub version: &'static str,
    /// As SPDX; empty if the package gives none.
    pub license: &'static str,
    /// Whether a panic of this build ends the process.
    pub panic_aborts: bool,
}

impl Identity {
    /// `PP_PF_*`.
    pub(super) const fn flags(&self) -> u32 {
        if self.panic_aborts {
            PP_PF_PANIC_ABORT
        } else {
            0
        }
    }
}

/// The size of the host table that the SDK requires.
pub(super) const HOST_SIZE_REQUIRED: u32 = size32::<PpHost>();

/// The note of a plugin. Ids over 63 bytes and versions over 31 do not compile.
#[must_use]
pub const fn note(who: &Identity) -> PpNote {
    PpNote {
        owner_len: size32::<[u8; 12]>(),
        body_len: size32::<PpNote>() - NOTE_HEADER_LEN,
        kind: PP_NOTE_TYPE,
        owner: NOTE_OWNER,
        abi_major: ABI_MAJOR,
        abi_minor: ABI_MINOR,
        host_size_required: HOST_SIZE_REQUIRED,
        flags: who.flags(),
        sha256: [0; 32],
        id: padded(who.id),
        version: padded(who.version),
    }
}

/// A text that ends in NUL, in a field of `N` bytes.
#[expect(
    clippy::indexing_slicing,
    reason = "const evaluation, where `get` is unavailable"
)]
const fn padded<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    assert!(
        bytes.len() <= N,
        "the id or version of this plugin is too long for the note"
    );
    let mut field = [0; N];
    let mut i = 0;
    while i < bytes.len() {
        field[i] = bytes[i];
        i += 1;
    }
    field
}
