//! Reads a plugin file without running it. A file that is refused here never reaches the dynamic linker.

use object::LittleEndian as Le;
use object::elf;
use polyport_abi::{ABI_MAJOR, ENTRY_SYMBOL};
use serde::Serialize;

use crate::digest::Digest;
use crate::dynamic::{Dynamic, Symbol};
use crate::elf::{HOST_MACHINE, Image, machine_name};
use crate::load_error::{ErrorCode, LoadError};
use crate::note::{self, Found, Note};

/// What a file says of itself; shown by `plugin inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The machine that it is for.
    pub machine: String,
    /// The plugin's name and version, and the ABI that it was built against.
    pub note: Note,
    /// The linker's build id in hexadecimal, if there is one.
    pub build_id: Option<String>,
    /// Bytes of address space that a generation of it takes.
    pub mapped_size: u64,
    /// Libraries that it needs.
    pub needed: Vec<String>,
    /// Symbols that others must define, without those that may be absent.
    pub undefined: Vec<String>,
    /// The newest C library that it asks for, as "2.34".
    pub libc: Option<String>,
    /// Faults that forbid nothing.
    pub warnings: Vec<String>,
}

/// Checks `bytes` as a plugin for this host.
///
/// # Errors
/// A [`LoadError`] without a file name. Every truncation of a good file is refused.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    let image = Image::parse(bytes)?;
    refuse_go(&image)?;
    let found = note::find(&image)?;
    let Note {
        abi_major,
        abi_minor,
        ..
    } = found.note;
    let what = format!("is built for ABI {abi_major}.{abi_minor}");
    note::check_abi(
        abi_major,
        found.note.host_size_required,
        found.note.flags,
        &what,
    )?;
    let dynamic = Dynamic::parse(image)?;
    let symbols = Symbols::collect(&dynamic)?;
    vet_entry(&symbols)?;
    vet_seal(&found, bytes)?;
    Ok(Inspection {
        machine: machine_name(HOST_MACHINE.0),
        build_id: build_id(&image),
        mapped_size: image.span(),
        needed: dynamic.needed()?,
        libc: dynamic.libc_version(),
        warnings: warnings(&symbols, &dynamic),
        undefined: symbols.undefined,
        note: found.note,
    })
}

/// The same file with its SHA-256 in the note, so that every later damage is refused. For packagers; an earlier seal is
/// replaced.
///
/// # Errors
/// `bytes` are no plugin.
pub fn seal(bytes: &[u8]) -> Result<Vec<u8>, LoadError> {
    let found = note::find(&Image::parse(bytes)?)?;
    let sealed = found.with_seal(bytes, found.digest(bytes)?)?;
    inspect(&sealed)?;
    Ok(sealed)
}

fn vet_entry(symbols: &Symbols) -> Result<(), LoadError> {
    let entry = ENTRY_SYMBOL.to_string_lossy();
    if symbols.exported.iter().any(|name| *name == entry) {
        return Ok(());
    }
    let other = |name: &&String| {
        let major = name
            .strip_prefix(ENTRY_PREFIX)
            .and_then(|major| major.parse::<u16>().ok());
        major.is_some_and(|major| major > ABI_MAJOR)
    };
    if let Some(newer) = symbols.exported.iter().find(other) {
        let what = format!("exports {newer} only, this host calls {entry}");
        return Err(LoadError::new(ErrorCode::AbiTooNew, what));
    }
    Err(LoadError::new(
        ErrorCode::NoEntry,
        format!("does not export the function {entry}"),
    ))
}

fn vet_seal(found: &Found, bytes: &[u8]) -> Result<(), LoadError> {
    let Some(sealed) = found.note.sealed else {
        return Ok(());
    };
    let actual: Digest = found.digest(bytes)?;
    if sealed == actual {
        return Ok(());
    }
    let what = format!(
        "its seal is {}, its bytes give {}",
        sealed.short(),
        actual.short()
    );
    Err(LoadError::new(ErrorCode::SealBroken, what))
}

fn refuse_go(image: &Image<'_>) -> Result<(), LoadError> {
    let marks = [".go.buildinfo", ".gopclntab", ".note.go.buildid"];
    if marks.iter().any(|name| image.section(name).is_some()) {
        return Err(LoadError::new(
            ErrorCode::GoRuntime,
            "carries the runtime of Go",
        ));
    }
    Ok(())
}

fn build_id(image: &Image<'_>) -> Option<String> {
    let section = image.section(".note.gnu.build-id")?;
    let bytes = image.at_offset(section.sh_offset.get(Le), section.sh_size.get(Le))?;
    // Three lengths, then "GNU\0".
    let id = bytes.get(16..)?;
    Some(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[derive(Default)]
struct Symbols {
    exported: Vec<String>,
    undefined: Vec<String>,
    /// Count of the symbols that all copies in the process share, whatever the linking scope.
    unique: usize,
}

impl Symbols {
    fn collect(dynamic: &Dynamic<'_>) -> Result<Self, LoadError> {
        let mut symbols = Self::default();
        for symbol in dynamic.symbols.iter().skip(1) {
            let name = dynamic.name(symbol)?;
            if !name.is_empty() {
                symbols.sort_in(symbol, name);
            }
        }
        Ok(symbols)
    }

    fn sort_in(&mut self, symbol: &Symbol, name: &str) {
        let bind = symbol.st_bind();
        self.unique += usize::from(bind == elf::STB_GNU_UNIQUE);
        if symbol.st_shndx.get(Le) == elf::SHN_UNDEF {
            if bind == elf::STB_GLOBAL {
                self.undefined.push(name.to_owned());
            }
        } else if bind != elf::STB_LOCAL {
            self.exported.push(name.to_owned());
        }
    }
}

fn warnings(symbols: &Symbols, dynamic: &Dynamic<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let others = symbols
        .exported
        .iter()
        .filter(|name| !name.starts_with(ENTRY_PREFIX));
    if let count @ 1.. = others.clone().count() {
        let first: Vec<_> = others.take(3).map(String::as_str).collect();
        let first = first.join(", ");
        warnings.push(format!(
            "exports {count} symbols besides its entry ({first}): build with -fvisibility=hidden"
        ));
    }
    if symbols.unique > 0 {
        warnings.push(format!(
            "{} of its statics are shared between generations: build with -fno-gnu-unique",
            symbols.unique
        ));
    }
    if dynamic
        .run_path()
        .is_some_and(|path| path.contains("$ORIGIN") || !path.starts_with('/'))
    {
        warnings.push(
            "looks for libraries relative to its own place, but a sealed copy is what runs: \
             use an absolute run path or link statically"
                .to_owned(),
        );
    }
    if dynamic.value(elf::DT_FLAGS).unwrap_or(0) & elf::DF_STATIC_TLS.0 != 0 {
        warnings
            .push("uses static thread-local storage, which may run out: build with -fPIC".into());
    }
    warnings
}

/// The beginning of the entry's name in all major versions.
const ENTRY_PREFIX: &str = "polyport_plugin_v";

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of real linkers must pass: tried with the system's libraries. Some of them were changed by packers or patchers
    /// and may be refused.
    #[test]
    fn inspect_accepts_libraries_of_the_system() {
        let folders = [
            "/usr/lib/x86_64-linux-gnu",
            "/usr/lib/aarch64-linux-gnu",
            "/usr/lib64",
        ];
        let entries = folders
            .iter()
            .filter_map(|folder| std::fs::read_dir(folder).ok())
            .flatten();
        let (mut sound, mut damaged) = (0, Vec::new());
        for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
            let small = path
                .metadata()
                .is_ok_and(|found| found.is_file() && found.len() < 64 << 20);
            if !small || !path.to_string_lossy().contains(".so") {
                continue;
            }
            match vet(&std::fs::read(&path).unwrap()).map_err(|error| (error.code(), error)) {
                Ok(()) => sound += 1,
                Err((ErrorCode::Damaged | ErrorCode::Truncated, why)) => {
                    damaged.push(why.of(&path));
                }
                // A program, a linker script or a file for another machine.
                Err(_) => {}
            }
        }
        println!("{sound} libraries of the system are sound, refused: {damaged:#?}");
        assert!(damaged.len() * 50 <= sound, "{damaged:#?}");
    }

    fn vet(bytes: &[u8]) -> Result<(), LoadError> {
        Dynamic::parse(Image::parse(bytes)?).map(drop)
    }
}
