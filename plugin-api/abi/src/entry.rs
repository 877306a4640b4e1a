//! Mirror of `entry.h`.

use core::ffi::{c_char, c_void};

use crate::host::PpHost;
use crate::plugin::PpHandler;
use crate::types::PpStatus;

/// A panic in this build ends the process.
pub const PP_PF_PANIC_ABORT: u32 = 1;

/// Identity and handlers of a plugin.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpPlugin {
    /// Size known to the plugin.
    pub struct_size: u32,
    /// Built against.
    pub abi_major: u16,
    /// Built against.
    pub abi_minor: u16,
    /// The required size of `PpHost`.
    pub host_size_required: u32,
    /// `PP_PF_*`.
    pub flags: u32,
    /// In reverse domain form.
    pub id: *const c_char,
    /// Of the plugin.
    pub version: *const c_char,
    /// As SPDX, or null.
    pub license: *const c_char,
    /// Pointers to the handlers.
    pub handlers: *const *const PpHandler,
    /// Their number.
    pub n_handlers: usize,
    /// `[load]` Once for each generation.
    pub init: Option<unsafe extern "C" fn(*const PpHost) -> PpStatus>,
    /// `[load]` The generation retires.
    pub fini: Option<unsafe extern "C" fn() -> PpStatus>,
    /// `[any]` The table of an extension by id.
    pub get_extension: Option<unsafe extern "C" fn(*const c_char) -> *const c_void>,
}

/// Name of the one exported function.
pub const ENTRY_SYMBOL: &core::ffi::CStr = c"polyport_plugin_v1";
/// Type of the one exported function.
pub type PpEntry = unsafe extern "C" fn() -> *const PpPlugin;

/// Section of the note.
pub const NOTE_SECTION: &str = ".note.polyport";
/// Owner of the note, as in the file.
pub const NOTE_OWNER: [u8; 12] = *b"Polyport\0\0\0\0";
/// Type of the note.
pub const PP_NOTE_TYPE: u32 = 1;
/// Bytes before the note's body: three lengths and the owner.
pub const NOTE_HEADER_LEN: u32 = 24;

/// The note that is read before any code of the plugin runs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PpNote {
    /// Of the ELF note.
    pub owner_len: u32,
    /// Of the ELF note.
    pub body_len: u32,
    /// `PP_NOTE_TYPE`.
    pub kind: u32,
    /// `NOTE_OWNER`.
    pub owner: [u8; 12],
    /// Built against.
    pub abi_major: u16,
    /// Built against.
    pub abi_minor: u16,
    /// The required size of `PpHost`.
    pub host_size_required: u32,
    /// `PP_PF_*`.
    pub flags: u32,
    /// SHA-256 of the file with this field zeroed, or zeroes.
    pub sha256: [u8; 32],
    /// Zero-terminated.
    pub id: [u8; 64],
    /// Zero-terminated.
    pub version: [u8; 32],
}
