//! `polyportd seal`: writes the hash of a plugin file into its note.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::Exit;

/// Seals files. Each is either replaced as a whole or left as it was.
pub fn seal(files: &[PathBuf]) -> Exit {
    let mut exit = Exit::Clean;
    for file in files {
        if let Err(reason) = seal_one(file) {
            let path = file.display();
            drop(writeln!(io::stderr(), "error: {path}: {reason}"));
            exit = Exit::Config;
        }
    }
    exit
}

fn seal_one(file: &Path) -> Result<(), String> {
    let text = |error: io::Error| error.to_string();
    let bytes = std::fs::read(file).map_err(text)?;
    let mode = std::fs::metadata(file).map_err(text)?.permissions();
    let sealed = polyport_host::inspect::seal(&bytes).map_err(|refusal| refusal.to_string())?;
    let beside = file.with_extension("so.sealing");
    let replaced = std::fs::write(&beside, sealed)
        .and_then(|()| std::fs::set_permissions(&beside, mode))
        .and_then(|()| std::fs::rename(&beside, file));
    replaced.map_err(|error| {
        drop(std::fs::remove_file(&beside));
        error.to_string()
    })
}
