//! The state store: what an instance saved when it ended and restores when it starts. One file for each instance in the
//! state directory, replaced as a whole.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Begin of a file: a name, and the version of this header.
const MAGIC: &[u8; 8] = b"PPSTATE\x01";
/// Magic, length of the handler's id, state version, length of the state, checksum.
const HEADER: usize = 8 + 4 + 4 + 8 + 32;
/// Size of the largest file that is read, bytes.
const FILE_MAX: u64 = (1 << 30) + 4096;

/// The state of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedState {
    /// State version of the handler.
    pub version: u32,
    /// What `save_state` returned.
    pub bytes: Vec<u8>,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(#[from] io::Error),
    /// It is not what was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It belongs to another handler.
    #[error("it was written by handler `{0}`")]
    Foreign(String),
}

/// The state directory.
#[derive(Debug, Clone)]
pub struct StateStore {
    directory: PathBuf,
}

impl StateStore {
    /// Uses a directory, which is created if it is missing.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn open(directory: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// Path of the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of an instance.
    pub fn path(&self, instance: &str) -> PathBuf {
        self.directory.join(format!("{instance}.state"))
    }

    /// Replaces the state of an instance; on an error the old file stays.
    ///
    /// # Errors
    /// The system refuses: disk full, no permission.
    pub fn save(&self, instance: &str, handler: &str, saved: &SavedState) -> io::Result<()> {
        let header = header(handler, saved);
        let name = format!("{instance}.state");
        polyport_sys::files::write_durably(&self.directory, &name, |file| {
            file.write_all(&header)?;
            file.write_all(handler.as_bytes())?;
            file.write_all(&saved.bytes)
        })
    }

    /// The state of an instance, if there is any.
    ///
    /// # Errors
    /// There is a file, and it cannot be used; see [`StateStore::set_aside`].
    pub fn load(&self, instance: &str, handler: &str) -> Result<Option<SavedState>, StateError> {
        let path = self.path(instance);
        let size = match fs::metadata(&path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if size > FILE_MAX {
            return Err(StateError::Damaged("it is too large"));
        }
        read(&fs::read(&path)?, handler).map(Some)
    }

    /// Renames a file that cannot be used, so that the next save does not replace it.
    ///
    /// # Errors
    /// The system refuses.
    pub fn set_aside(&self, instance: &str) -> io::Result<PathBuf> {
        let path = self.path(instance);
        let mut number = 0;
        let aside = loop {
            let aside = self
                .directory
                .join(format!("{instance}.state.damaged.{number}"));
            if !aside.exists() {
                break aside;
            }
            number += 1;
        };
        fs::rename(&path, &aside)?;
        Ok(aside)
    }
}

fn checksum(handler: &[u8], version: u32, bytes: &[u8]) -> [u8; 32] {
    let mut sum = Sha256::new();
    sum.update(MAGIC);
    sum.update(version.to_le_bytes());
    sum.update((handler.len() as u64).to_le_bytes());
    sum.update(handler);
    sum.update(bytes);
    sum.finalize().into()
}

fn header(handler: &str, saved: &SavedState) -> Vec<u8> {
    let handler = handler.as_bytes();
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&u32::try_from(handler.len()).unwrap_or(0).to_le_bytes());
    header.extend_from_slice(&saved.version.to_le_bytes());
    header.extend_from_slice(&(saved.bytes.len() as u64).to_le_bytes());
    header.extend_from_slice(&checksum(handler, saved.version, &saved.bytes));
    header
}

fn read(file: &[u8], handler: &str) -> Result<SavedState, StateError> {
    let cut = StateError::Damaged("it is cut off");
    let mut rest = file;
    let mut take = |count: usize| {
        let (taken, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(taken)
    };
    let mut fields = || {
        Some((
            take(8)?,
            u32::from_le_bytes(take(4)?.try_into().ok()?),
            u32::from_le_bytes(take(4)?.try_into().ok()?),
            u64::from_le_bytes(take(8)?.try_into().ok()?),
            take(32)?,
        ))
    };
    let Some((magic, handler_len, version, len, sum)) = fields() else {
        return Err(cut);
    };
    if magic != MAGIC {
        return Err(StateError::Damaged(
            "it does not begin as a state file does",
        ));
    }
    let Some(owner) = usize::try_from(handler_len).ok().and_then(&mut take) else {
        return Err(cut);
    };
    if rest.len() as u64 != len {
        return Err(StateError::Damaged(
            "its length is not the one in its header",
        ));
    }
    if checksum(owner, version, rest) != sum {
        return Err(StateError::Damaged("its checksum does not fit"));
    }
    if owner != handler.as_bytes() {
        return Err(StateError::Foreign(
            String::from_utf8_lossy(owner).into_owned(),
        ));
    }
    Ok(SavedState {
        version,
        bytes: rest.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_store_reads_what_was_saved_and_detects_every_damage() {
        let saved = SavedState {
            version: 7,
            bytes: b"some state".to_vec(),
        };
        let mut file = header("counter", &saved);
        file.extend_from_slice(b"counter");
        file.extend_from_slice(&saved.bytes);
        assert_eq!(read(&file, "counter").unwrap(), saved);
        assert!(matches!(read(&file, "other"), Err(StateError::Foreign(_))));
        for cut in 0..file.len() {
            assert!(read(&file[..cut], "counter").is_err(), "cut at {cut}");
        }
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 0x10;
            assert!(read(&damaged, "counter").is_err(), "damage at {place}");
        }
    }
}
