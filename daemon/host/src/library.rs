//! `dlopen` of a staged plugin. The code is never unmapped, because a thread of the plugin or a destructor of its
//! thread-local data may run at any time.

use std::error::Error as _;
use std::mem::ManuallyDrop;
use std::path::Path;

use libloading::os::unix::{Library as Handle, RTLD_LAZY, RTLD_LOCAL, RTLD_NOW};
use polyport_abi::{ENTRY_SYMBOL, PpEntry, PpPlugin};

use crate::inspect::Inspection;
use crate::load_error::{ErrorCode, LoadError};

/// A plugin in this process, never closed.
#[derive(Debug)]
pub(crate) struct Library(ManuallyDrop<Handle>);

impl Library {
    /// Maps and relocates the file, and runs its constructors. The file at `path` must stay the same for as long as the
    /// process lives, because the dynamic linker finds libraries by name.
    pub(crate) fn open(path: &Path) -> Result<Self, LoadError> {
        let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
        // SAFETY: runs constructors of a plugin that the operator chose and that was inspected. In the daemon a probe child
        // has survived them. A plugin is trusted with the process.
        match unsafe { Handle::open(Some(path), flags) } {
            Ok(handle) => Ok(Self(ManuallyDrop::new(handle))),
            Err(error) => Err(refused(path, &reason(&error))),
        }
    }

    /// Calls the entry function.
    pub(crate) fn enter(&self) -> Result<*const PpPlugin, LoadError> {
        // SAFETY: the header gives this symbol this type in every file with the note.
        let entry = unsafe { self.0.get::<PpEntry>(ENTRY_SYMBOL) };
        let entry = entry.map_err(|error| LoadError::new(ErrorCode::NoEntry, reason(&error)))?;
        // SAFETY: the entry has no arguments, returns a pointer to constant data and never unwinds (R3 of the header).
        Ok(unsafe { entry() })
    }
}

/// All libraries and symbols of `inspection` that cannot be found, as a sentence. Opens libraries: only for a process that
/// ends soon.
pub(crate) fn missing(inspection: &Inspection) -> Option<String> {
    let mut scope = vec![Handle::this()];
    let mut libraries = Vec::new();
    for name in &inspection.needed {
        // SAFETY: runs constructors of a library that the dynamic linker would open itself.
        match unsafe { Handle::open(Some(name), RTLD_LAZY | RTLD_LOCAL) } {
            Ok(handle) => scope.push(handle),
            Err(_) => libraries.push(name.as_str()),
        }
    }
    let scope = ManuallyDrop::new(scope);
    let defined = |name: &str| {
        // SAFETY: the address is not read or called through.
        scope
            .iter()
            .any(|library| unsafe { library.get::<*const ()>(name) }.is_ok())
    };
    let undefined = inspection.undefined.iter().map(String::as_str);
    let symbols: Vec<_> = undefined.filter(|name| !defined(name)).collect();
    let part = |what: &str, names: &[&str]| {
        (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")))
    };
    let parts = [part("libraries", &libraries), part("symbols", &symbols)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("needs what is nowhere: {}", parts.join("; ")))
}

/// The message of the dynamic linker: libloading has it as the source of its error.
fn reason(error: &libloading::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

fn refused(path: &Path, error: &str) -> LoadError {
    let name = format!("{}: ", path.display());
    let reason = error.replace(&name, "");
    let has = |part: &str| reason.contains(part);
    let code = if has("undefined symbol") || has("version `") || has("No such file") {
        ErrorCode::MissingSymbols
    } else if has("failed to map") || has("not permitted") || has("Permission denied") {
        ErrorCode::Noexec
    } else {
        ErrorCode::OpenFailed
    };
    LoadError::new(code, format!("the dynamic linker says: {reason}"))
}
