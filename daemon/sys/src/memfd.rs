//! Sealed anonymous files.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::process::Stdio;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::poll::{PollTimeout, poll};
use nix::sys::memfd::{MFdFlags, memfd_create};

/// Bytes in memory behind a descriptor, sealed against writing, shrinking, growing and unsealing, by this process
/// too.
#[derive(Debug)]
pub struct SealedFile {
    file: OwnedFd,
}

impl SealedFile {
    /// Copies `bytes` into a new sealed file; `name` (at most 249 bytes) shows in `/proc` only.
    ///
    /// # Errors
    /// `ENOSYS` where the kernel has no memfd, `EMFILE`, `ENOMEM`, `EBUSY` when a page stayed referenced for more
    /// than a second; `InvalidInput` for a name with a zero byte.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> io::Result<Self> {
        let name = CString::new(name)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let mut file = File::from(memfd_create(name.as_c_str(), flags)?);
        file.write_all(bytes)?;
        seal(&file)?;
        Ok(Self { file: file.into() })
    }

    /// `/proc/<this process>/fd/<number>`: opens the file anew, for `dlopen` here and for children of the same user
    /// that may inspect this process. Valid while this value lives.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!(
            "/proc/{}/fd/{}",
            std::process::id(),
            self.file.as_raw_fd()
        ))
    }

    /// A copy as the standard input of a child: this needs no right to inspect this process and leaks no descriptor.
    /// The child opens `/proc/self/fd/0` to read from the start.
    ///
    /// # Errors
    /// `EMFILE`.
    pub fn as_stdin(&self) -> io::Result<Stdio> {
        Ok(Stdio::from(self.file.try_clone()?))
    }
}

/// Removes all rights to change the file, those of this process too.
///
/// The kernel refuses with `EBUSY` while a page has a reference besides the file's own, since it might be written to.
/// Nothing maps this file, but the kernel itself holds freshly written pages for a moment: in each processor's batch
/// for the LRU lists, and during reclaim or migration. It flushes the batches and waits about 150 ms before it
/// refuses; under memory pressure this may be too short.
fn seal(file: &File) -> io::Result<()> {
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    for _ in 1..SEAL_TRIES {
        match fcntl(file, FcntlArg::F_ADD_SEALS(seals)) {
            // No event reports the release of a page. A signal may cut the wait short.
            Err(Errno::EBUSY) => drop(poll(&mut [], PollTimeout::from(SEAL_PAUSE_MS))),
            other => return Ok(other.map(drop)?),
        }
    }
    fcntl(file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

const SEAL_TRIES: u32 = 10;
const SEAL_PAUSE_MS: u8 = 10;

impl AsFd for SealedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for SealedFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use std::fs;
    use std::process::Command;

    #[test]
    fn memfd_is_readable_and_immutable() {
        let sealed = SealedFile::from_bytes("plugin", b"bytes").unwrap();
        assert_eq!(fs::read(sealed.path()).unwrap(), b"bytes");
        let copy = File::from(sealed.file.try_clone().unwrap());
        assert_eq!(
            (&copy).write_all(b"x").unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        assert_eq!(
            copy.set_len(0).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        let reopened = fs::OpenOptions::new()
            .write(true)
            .open(sealed.path())
            .unwrap();
        assert_eq!(
            (&reopened).write_all(b"x").unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
        let more = fcntl(&copy, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_WRITE));
        assert_eq!(more, Err(Errno::EPERM));
    }

    #[test]
    fn memfd_seals_concurrently() {
        let bytes = vec![7; 300_000];
        let seal_some = || {
            for _ in 0..50 {
                SealedFile::from_bytes("plugin", &bytes).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(seal_some);
            }
        });
    }

    #[test]
    fn memfd_is_readable_by_a_child() {
        let sealed = SealedFile::from_bytes("plugin", b"for a child").unwrap();
        let by_path = run(Command::new("cat").arg(sealed.path()));
        assert_eq!(by_path.stdout, b"for a child");
        let mut by_stdin = Command::new("cat");
        by_stdin
            .arg("/proc/self/fd/0")
            .stdin(sealed.as_stdin().unwrap());
        assert_eq!(run(&mut by_stdin).stdout, b"for a child");
    }

    #[test]
    fn memfd_may_be_empty_and_refuses_a_zero_byte_in_the_name() {
        let sealed = SealedFile::from_bytes("", b"").unwrap();
        assert!(fs::read(sealed.path()).unwrap().is_empty());
        let error = SealedFile::from_bytes("a\0b", b"").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
