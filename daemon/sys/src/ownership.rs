//! Ownership checks of a file before it is loaded: its owner, and the owners of all directories on
//! its path.
//!
//! A file is trusted when only root and this user can put other bytes under its name. The path is
//! walked as the kernel walks it, so the directories that lead to a symlink are checked as well as
//! those of its target. POSIX ACLs show in the group bits, so they are covered.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::process;

/// The kernel's limit.
const SYMLINKS_MAX: usize = 40;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a file is not trusted; the text says what to do.
#[derive(Debug)]
pub struct OwnershipFault {
    /// The file or directory at fault.
    pub path: PathBuf,
    /// What is wrong with it.
    pub kind: OwnershipFaultKind,
}

/// What is wrong with a file or folder.
#[derive(Debug)]
pub enum OwnershipFaultKind {
    /// It belongs to a user other than root and this one.
    ForeignOwner {
        /// The owner's number.
        owner: u32,
        /// Our effective user id.
        expected: u32,
    },
    /// Its group or others may write to it.
    WritableByOthers {
        /// The owner's number.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Its metadata cannot be read.
    Unreadable(io::Error),
}

impl fmt::Display for OwnershipFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.kind {
            OwnershipFaultKind::ForeignOwner { owner, expected: 0 } => {
                write!(
                    f,
                    "{path} belongs to user {owner}, not to root; run: chown root '{path}'"
                )
            }
            OwnershipFaultKind::ForeignOwner { owner, expected } => write!(
                f,
                "{path} belongs to user {owner}, neither to root nor to user {expected}; \
                 run: chown root '{path}'"
            ),
            OwnershipFaultKind::WritableByOthers { owner, mode } => write!(
                f,
                "{path} (owner {owner}, mode {mode:04o}) can be written by others than its owner; \
                 run: chmod go-w '{path}'"
            ),
            OwnershipFaultKind::Unreadable(error) => write!(f, "{path}: {error}"),
        }
    }
}

impl std::error::Error for OwnershipFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            OwnershipFaultKind::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}

/// Checks that only root and this user can change the file at `path`.
///
/// A sticky directory (`/tmp`) may be writable by all: each file in it still has an owner, and is
/// checked itself. The result holds for this moment only: copy the file, then check the copy.
///
/// # Errors
/// The first fault on the path from `/` to the file.
pub fn check_ownership(path: &Path) -> Result<(), OwnershipFault> {
    check_for(path, process::effective_uid())
}

fn check_for(path: &Path, user: u32) -> Result<(), OwnershipFault> {
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
    let mut ahead: VecDeque<OsString> = components(&absolute).collect();
    let mut here = PathBuf::from("/");
    let mut symlinks = 0;
    inspect(&here, user)?;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            here.pop();
            continue;
        }
        here.push(&name);
        if !inspect(&here, user)?.is_symlink() {
            continue;
        }
        symlinks += 1;
        if symlinks > SYMLINKS_MAX {
            return Err(unreadable(path, io::Error::from_raw_os_error(libc::ELOOP)));
        }
        let target = fs::read_link(&here).map_err(|error| unreadable(&here, error))?;
        here.pop();
        if target.is_absolute() {
            here = PathBuf::from("/");
        }
        for part in components(&target).rev() {
            ahead.push_front(part);
        }
    }
    Ok(())
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_os_string()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}

fn inspect(path: &Path, user: u32) -> Result<Metadata, OwnershipFault> {
    let found = fs::symlink_metadata(path).map_err(|error| unreadable(path, error))?;
    let (owner, mode) = (found.uid(), found.mode() & 0o7777);
    let fault = if owner != 0 && owner != user {
        Some(OwnershipFaultKind::ForeignOwner {
            owner,
            expected: user,
        })
    } else if is_open(&found) {
        Some(OwnershipFaultKind::WritableByOthers { owner, mode })
    } else {
        None
    };
    fault.map_or(Ok(found), |kind| {
        Err(OwnershipFault {
            path: path.to_path_buf(),
            kind,
        })
    })
}

/// A symlink's own mode has no effect; its directory decides who may replace it.
fn is_open(found: &Metadata) -> bool {
    let guarded = found.is_dir() && found.mode() & STICKY != 0;
    !found.is_symlink() && !guarded && found.mode() & WRITABLE_BY_OTHERS != 0
}

fn unreadable(path: &Path, error: io::Error) -> OwnershipFault {
    OwnershipFault {
        path: path.to_path_buf(),
        kind: OwnershipFaultKind::Unreadable(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use tempfile::TempDir;

    /// `room/folder/plugin.so`, trusted; and `room/other`.
    fn room() -> (TempDir, PathBuf, PathBuf) {
        let room = tempfile::tempdir().unwrap();
        let folder = room.path().join("folder");
        for name in ["folder", "other"] {
            fs::create_dir(room.path().join(name)).unwrap();
            set_mode(&room.path().join(name), 0o755);
        }
        let file = folder.join("plugin.so");
        fs::write(&file, "code").unwrap();
        set_mode(&file, 0o644);
        (room, folder, file)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    fn assert_open(path: &Path, culprit: &Path) {
        let fault = check_ownership(path).unwrap_err();
        assert!(
            matches!(fault.kind, OwnershipFaultKind::WritableByOthers { .. }),
            "{fault}"
        );
        assert_eq!(fault.path, culprit);
    }

    #[test]
    fn ownership_checks_modes_of_file_and_directory() {
        let (_room, folder, file) = room();
        check_ownership(&file).unwrap();
        for (file_mode, folder_mode, sound) in [
            (0o755, 0o755, true),
            (0o400, 0o700, true),
            (0o664, 0o755, false),
            (0o646, 0o755, false),
            (0o1666, 0o755, false),
            (0o644, 0o775, false),
            (0o644, 0o757, false),
            (0o644, 0o1777, true),
            (0o644, 0o3775, true),
            (0o666, 0o1777, false),
        ] {
            set_mode(&file, file_mode);
            set_mode(&folder, folder_mode);
            let verdict = check_ownership(&file);
            assert_eq!(
                verdict.is_ok(),
                sound,
                "{file_mode:o} in {folder_mode:o}: {verdict:?}"
            );
        }
    }

    #[test]
    fn ownership_fault_names_path_and_remedy() {
        let (_room, folder, file) = room();
        set_mode(&folder, 0o775);
        assert_open(&file, &folder);
        let text = check_ownership(&file).unwrap_err().to_string();
        let owner = process::effective_uid();
        let wanted = format!("(owner {owner}, mode 0775) can be written by others than its owner");
        assert!(text.contains(&wanted), "{text}");
        assert!(
            text.ends_with(&format!("run: chmod go-w '{}'", folder.display())),
            "{text}"
        );
    }

    #[test]
    fn ownership_refuses_a_foreign_owner() {
        let (_room, _folder, file) = room();
        let own = process::effective_uid();
        let user = if own == 0 {
            chown(&file, Some(4711), None).unwrap();
            own
        } else {
            own + 1
        };
        let fault = check_for(&file, user).unwrap_err();
        assert!(
            matches!(fault.kind, OwnershipFaultKind::ForeignOwner { .. }),
            "{fault}"
        );
        assert!(fault.to_string().contains("chown root"), "{fault}");
        if own == 0 {
            check_for(&file, 4711).unwrap();
        }
    }

    #[test]
    fn ownership_checks_both_ends_of_a_symlink() {
        let (room, folder, file) = room();
        let other = room.path().join("other");
        let link = other.join("link.so");
        symlink("../folder/plugin.so", &link).unwrap();
        check_ownership(&link).unwrap();
        set_mode(&other, 0o777);
        assert_open(&link, &other);
        set_mode(&other, 0o755);
        set_mode(&folder, 0o777);
        assert_open(&link, &folder);

        set_mode(&folder, 0o755);
        let chain = room.path().join("chain");
        symlink(&other, &chain).unwrap();
        check_ownership(&chain.join("link.so")).unwrap();
        set_mode(&file, 0o666);
        assert_open(&chain.join("link.so"), &file);
    }

    #[test]
    fn ownership_reports_missing_files_and_symlink_loops() {
        let (room, folder, _file) = room();
        let missing = check_ownership(&folder.join("none.so")).unwrap_err();
        assert!(matches!(missing.kind, OwnershipFaultKind::Unreadable(_)));
        let circle = room.path().join("circle");
        symlink(&circle, &circle).unwrap();
        let OwnershipFaultKind::Unreadable(error) = check_ownership(&circle).unwrap_err().kind
        else {
            panic!("a circle has no file");
        };
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
    }
}
