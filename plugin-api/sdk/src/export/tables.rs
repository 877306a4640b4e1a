//! The tables of a plugin: made at the first call of the exported function, because of the schema
//! text, and never changed or freed.

use std::ffi::c_char;
use std::sync::OnceLock;

use polyport_abi::{
    ABI_MAJOR, ABI_MINOR, PP_E_UNSUPPORTED, PP_OK, PpHandler, PpHost, PpPlugin, PpStatus,
};

use super::note::{HOST_SIZE_REQUIRED, Identity};
use crate::host::install;
use crate::panic::install_hook;
use crate::raw::size32;

/// The result of the exported function.
#[derive(Debug)]
pub struct Tables {
    who: &'static Identity,
    handlers: &'static [fn() -> PpHandler],
    made: OnceLock<Made>,
}

/// The table and its targets, leaked.
#[derive(Debug)]
struct Made(PpPlugin);
// SAFETY: made once and never written again; all targets are static.
unsafe impl Send for Made {}
// SAFETY: as for Send: never written after construction.
unsafe impl Sync for Made {}

impl Tables {
    /// Tables to be made later.
    #[must_use]
    pub const fn new(who: &'static Identity, handlers: &'static [fn() -> PpHandler]) -> Self {
        Self {
            who,
            handlers,
            made: OnceLock::new(),
        }
    }

    /// The table of the plugin; static. `[load]`
    #[must_use]
    pub fn plugin(&'static self) -> *const PpPlugin {
        &raw const self.made.get_or_init(|| self.make()).0
    }

    fn make(&self) -> Made {
        let handlers: Vec<*const PpHandler> = self
            .handlers
            .iter()
            .map(|handler| &raw const *Box::leak(Box::new(handler())))
            .collect();
        let handlers = handlers.leak();
        Made(PpPlugin {
            struct_size: size32::<PpPlugin>(),
            abi_major: ABI_MAJOR,
            abi_minor: ABI_MINOR,
            host_size_required: HOST_SIZE_REQUIRED,
            flags: self.who.flags(),
            id: text(self.who.id),
            version: text(self.who.version),
            license: if self.who.license == "\0" {
                std::ptr::null()
            } else {
                text(self.who.license)
            },
            handlers: handlers.as_ptr(),
            n_handlers: handlers.len(),
            init: Some(init),
            fini: Some(fini),
            get_extension: None,
        })
    }
}

/// The macro ends each text in NUL.
const fn text(text: &'static str) -> *const c_char {
    text.as_ptr().cast()
}

unsafe extern "C" fn init(table: *const PpHost) -> PpStatus {
    // SAFETY: the host passes its table, which is static.
    if !unsafe { install(table) } {
        return PP_E_UNSUPPORTED;
    }
    install_hook();
    PP_OK
}

/// No teardown: the code stays mapped, and a late thread may still log.
unsafe extern "C" fn fini() -> PpStatus {
    PP_OK
}
