//! Stages a plugin: reads the file until it is stable, inspects and hashes it, and makes the sealed copy that runs. So the
//! file that an operator overwrites is never the one that runs.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polyport_sys::SealedFile;
use polyport_sys::ownership::{OwnershipFaultKind, check_ownership};

use crate::digest::Digest;
use crate::inspect::{Inspection, inspect};
use crate::load_error::{ErrorCode, LoadError};
use crate::plugin_path;

/// How to stage.
#[derive(Debug, Clone, Copy, Default)]
pub struct StageOptions {
    /// Refuse a file that others than its owner, root and the daemon's user can change.
    pub check_ownership: bool,
}

/// A plugin that was read and inspected. None of its code has run in this process.
#[derive(Debug)]
pub struct Staged {
    /// Path of the file.
    pub path: PathBuf,
    /// Its short name: `kv` of `libpolyport_kv.so`.
    pub name: String,
    /// Its identity.
    pub digest: Digest,
    /// The result of its inspection.
    pub inspection: Inspection,
    /// The copy that runs.
    pub file: SealedFile,
}

/// Makes a sealed copy of the plugin at `path`. Blocks for up to half a second while the file is being written.
///
/// # Errors
/// A [`LoadError`] that names the file.
pub fn stage(path: &Path, options: &StageOptions) -> Result<Staged, LoadError> {
    stage_unnamed(path, options).map_err(|error| error.of(path))
}

fn stage_unnamed(path: &Path, options: &StageOptions) -> Result<Staged, LoadError> {
    if options.check_ownership {
        vet_ownership(path)?;
    }
    let (bytes, inspection) = read_settled(path)?;
    let digest = Digest::of(&bytes);
    let name = plugin_path::name_of(path);
    let label: String = name
        .chars()
        .filter(|c| !c.is_control())
        .take(NAME_MAX)
        .collect();
    let label = format!("polyport:{label}@{}", digest.short());
    let file = SealedFile::from_bytes(&label, &bytes).map_err(|error| no_copy(&error))?;
    Ok(Staged {
        path: path.to_owned(),
        name,
        digest,
        inspection,
        file,
    })
}

fn vet_ownership(path: &Path) -> Result<(), LoadError> {
    check_ownership(path).map_err(|fault| {
        let code = match &fault.kind {
            OwnershipFaultKind::Unreadable(error) => code_of(error),
            _ => ErrorCode::UnsafeOwner,
        };
        LoadError::new(code, fault.to_string())
    })
}

/// Reads and inspects until the file did not change meanwhile. A truncated file may still be being copied even if it does
/// not change now: it is read again as often.
fn read_settled(path: &Path) -> Result<(Vec<u8>, Inspection), LoadError> {
    let mut first_size = None;
    for last in [false, false, false, false, false, true] {
        let outcome = read_once(path)?;
        let error = match outcome {
            Ok((bytes, result)) => {
                let size = bytes.len();
                let grew = first_size.replace(size).is_some_and(|first| first != size);
                match result {
                    Ok(inspection) => return Ok((bytes, inspection)),
                    Err(error) if error.code() != ErrorCode::Truncated => {
                        return Err(error);
                    }
                    Err(_) if grew && last => unstable(),
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        if last {
            return Err(error);
        }
        pause(RETRY_AFTER);
    }
    Err(unstable())
}

type Look = Result<(Vec<u8>, Result<Inspection, LoadError>), LoadError>;

/// The outer error is final. The inner one: the file changed while it was read.
fn read_once(path: &Path) -> Result<Look, LoadError> {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|error| unreadable(&error))?;
    let before = file.metadata().map_err(|error| unreadable(&error))?;
    if !before.is_file() {
        return Err(LoadError::new(
            ErrorCode::Unreadable,
            "is not a regular file",
        ));
    }
    if before.len() > SIZE_MAX {
        let what = format!("has {} bytes, more than {SIZE_MAX}", before.len());
        return Err(LoadError::new(ErrorCode::TooLarge, what));
    }
    let bytes = read_bounded(&mut file).map_err(|error| unreadable(&error))?;
    let after = file.metadata().map_err(|error| unreadable(&error))?;
    if signature(&before) != signature(&after) || bytes.len() as u64 != after.len() {
        return Ok(Err(unstable()));
    }
    let inspection = inspect(&bytes);
    Ok(Ok((bytes, inspection)))
}

fn read_bounded(file: &mut File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SIZE_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn signature(found: &Metadata) -> [i64; 6] {
    let identity = [found.dev(), found.ino(), found.len()].map(u64::cast_signed);
    let [device, inode, size] = identity;
    [
        device,
        inode,
        size,
        found.mtime(),
        found.mtime_nsec(),
        found.ctime_nsec(),
    ]
}

fn unstable() -> LoadError {
    LoadError::new(ErrorCode::Unstable, "is still being written")
}

fn unreadable(error: &io::Error) -> LoadError {
    LoadError::new(code_of(error), error.to_string())
}

fn code_of(error: &io::Error) -> ErrorCode {
    if error.kind() == io::ErrorKind::NotFound {
        ErrorCode::NotFound
    } else {
        ErrorCode::Unreadable
    }
}

fn no_copy(error: &io::Error) -> LoadError {
    let code = match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM | libc::ENOSYS) => ErrorCode::Noexec,
        _ => ErrorCode::Unreadable,
    };
    LoadError::new(code, format!("cannot be copied into memory: {error}"))
}

/// Waits: the kernel does not notify of the end of a write.
fn pause(duration: Duration) {
    let end = Instant::now() + duration;
    while let Some(left) = end
        .checked_duration_since(Instant::now())
        .filter(|d| !d.is_zero())
    {
        std::thread::park_timeout(left);
    }
}

const SIZE_MAX: u64 = 256 << 20;
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// Characters of a plugin's name in the name of its copy.
const NAME_MAX: usize = 50;
