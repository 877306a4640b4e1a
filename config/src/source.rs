//! Safe reading of a file: opened once, nonblocking, regular, bounded, text.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use crate::faults::Fault;
use crate::node::Position;

/// The maximum size of a file.
pub(crate) const BYTES_MAX: u64 = 1024 * 1024;

/// Opens a file and reads all of it. `included_at` is the position that names the file: a file that
/// cannot be opened is a fault there.
///
/// # Errors
/// When the file does not exist, is unreadable, not regular, too large or no text.
pub(crate) fn read(path: &Path, included_at: &Position) -> Result<Arc<str>, Fault> {
    let refuse = |message: String| Fault::error(included_at.clone(), message);
    let named = path.display();
    let file = open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => refuse(format!("there is no file {named}")),
        ErrorKind::PermissionDenied => refuse(format!("{named} may not be read"))
            .with_help("check its owner and mode, and those of the folders above"),
        _ => refuse(format!("{named} cannot be opened: {error}")),
    })?;
    let metadata = file
        .metadata()
        .map_err(|error| refuse(format!("{named}: {error}")))?;
    if !metadata.is_file() {
        let kind = metadata.file_type();
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a FIFO",
            () => "a device",
        };
        return Err(refuse(format!("{named} is {what}")).with_help("name a regular file"));
    }
    let mut bytes = Vec::new();
    // One byte above the bound shows that the file is too large, whatever fstat returned.
    let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| refuse(format!("{named} cannot be read: {error}")))?;
    if bytes.len() as u64 > BYTES_MAX {
        let help = "split it and use `include:`";
        return Err(refuse(format!("{named} is larger than 1 MiB")).with_help(help));
    }
    text(bytes, path)
}

/// Opens without waiting for a FIFO's writer and without acquiring a terminal.
fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
}

/// Converts bytes to text, without a byte order mark.
fn text(bytes: Vec<u8>, path: &Path) -> Result<Arc<str>, Fault> {
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(error.as_bytes().get(..good).unwrap_or_default());
            let position = end_of(&before, path);
            return Err(Fault::error(position, "this byte is no UTF-8")
                .with_help("save the file as UTF-8, without a codepage of its own"));
        }
    };
    if let Some((before, _)) = text.split_once('\0') {
        return Err(
            Fault::error(end_of(before, path), "there is a zero byte here")
                .with_help("save the file as UTF-8 text"),
        );
    }
    Ok(Arc::from(text.strip_prefix('\u{feff}').unwrap_or(&text)))
}

/// The position after a prefix of a file.
fn end_of(before: &str, path: &Path) -> Position {
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    let bounded = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position {
        file: Arc::from(path),
        line: bounded(line),
        column: bounded(column),
    }
}
