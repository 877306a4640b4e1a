//! Atomic replacement of files.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// Writes `directory/name` atomically: after a crash at any moment there is the old file or the
/// complete new one.
///
/// `write` fills a new file of mode 0600 in the same directory. The file is synced and renamed,
/// then the directory is synced. On an error the old file stays and the new one is removed.
///
/// # Errors
/// Errors of `write` or of the file system; `InvalidInput` when `name` is more than a file name.
pub fn write_durably<F>(directory: &Path, name: &str, write: F) -> io::Result<()>
where
    F: FnOnce(&mut File) -> io::Result<()>,
{
    if Path::new(name).file_name().is_none_or(|last| last != name) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name must be a file name",
        ));
    }
    let mut draft = NamedTempFile::new_in(directory)?;
    write(draft.as_file_mut())?;
    draft.as_file().sync_all()?;
    draft.persist(directory.join(name))?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn write_durably_replaces_a_file_with_mode_0600() {
        let room = tempfile::tempdir().unwrap();
        for text in ["old", "newer"] {
            write_durably(room.path(), "state", |file| file.write_all(text.as_bytes())).unwrap();
            assert_eq!(fs::read_to_string(room.path().join("state")).unwrap(), text);
        }
        let mode = fs::metadata(room.path().join("state"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn write_durably_keeps_the_old_file_after_a_failure() {
        let room = tempfile::tempdir().unwrap();
        write_durably(room.path(), "state", |file| file.write_all(b"old")).unwrap();
        let failed = write_durably(room.path(), "state", |file| {
            file.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(fs::read(room.path().join("state")).unwrap(), b"old");
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 1);
    }

    #[test]
    fn write_durably_refuses_a_path_as_name() {
        let room = tempfile::tempdir().unwrap();
        for name in ["../x", "a/b", "/etc/x", "", ".."] {
            let error = write_durably(room.path(), name, |_| Ok(())).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }
}
