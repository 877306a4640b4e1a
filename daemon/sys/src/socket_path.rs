//! Unix sockets with a path: bind, replacement of stale files, removal.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::process;

/// The file of a bound socket, identified by its inode so that a successor's file is never removed.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketPath {
    /// The file that is now at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Removes the file if it is still this one; returns whether it did.
    pub(crate) fn unlink(&self) -> io::Result<bool> {
        let ours = self.is_there()?;
        if ours {
            fs::remove_file(&self.path)?;
        }
        Ok(ours)
    }

    /// Sets mode and group of the file as a new bind with them would.
    pub(crate) fn set_access(&self, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
        if !self.is_there()? {
            let text = format!("{} is gone or replaced", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let group = group.map_or_else(|| group_of_new(&self.path), Ok)?;
        let mode = mode.map_or_else(mode_of_new, Ok)?;
        open_to(&self.path, Some(mode), Some(group))
    }

    fn is_there(&self) -> io::Result<bool> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) => Ok(found.dev() == self.device && found.ino() == self.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The group of a new file at `path`: the directory's if that has the setgid bit, else our own.
fn group_of_new(path: &Path) -> io::Result<u32> {
    const HANDED_DOWN: u32 = 0o2000;
    let folder = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    Ok(if folder.mode() & HANDED_DOWN == 0 {
        process::effective_gid()
    } else {
        folder.gid()
    })
}

/// The mode of a new socket under the process's umask. Read from `/proc`, because `umask` cannot be read without a
/// change.
fn mode_of_new() -> io::Result<u32> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok());
    mask.map(|mask| 0o777 & !mask)
        .ok_or_else(|| io::Error::other("the system does not tell the umask"))
}

/// Binds a socket at `path`; its file has mode and group before any peer can connect.
pub(crate) fn bind(
    kind: Type,
    path: &Path,
    mode: Option<u32>,
    group: Option<u32>,
) -> io::Result<(Socket, SocketPath)> {
    let first = path.as_os_str().as_bytes().first();
    if first.is_none_or(|byte| *byte == 0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a socket needs a path",
        ));
    }
    let address = SockAddr::unix(path)?;
    let socket = Socket::new_raw(Domain::UNIX, kind.nonblocking().cloexec(), None)?;
    if mode.is_some() {
        // The file gets the socket's own mode: closed to all until the right mode is set.
        fchmod(&socket, Mode::empty())?;
    }
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(kind, path, &address)?;
            socket.bind(&address)?;
        }
        other => other?,
    }
    let bound = SocketPath::of(path)?;
    if let Err(error) = open_to(path, mode, group) {
        drop(bound.unlink());
        return Err(error);
    }
    Ok((socket, bound))
}

fn open_to(path: &Path, mode: Option<u32>, group: Option<u32>) -> io::Result<()> {
    // A sandbox may forbid the call even where it would change nothing.
    if let Some(group) = group
        && fs::symlink_metadata(path)?.gid() != group
    {
        std::os::unix::fs::lchown(path, None, Some(group))?;
    }
    match mode {
        Some(mode) => fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o777)),
        None => Ok(()),
    }
}

/// Removes the file of a socket without a server; anything else at the path is an error.
fn remove_stale(kind: Type, path: &Path, address: &SockAddr) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = format!(
            "{} exists and is not a socket; it is left alone",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    let found = SocketPath::of(path)?;
    let probe = Socket::new_raw(Domain::UNIX, kind.nonblocking().cloexec(), None)?;
    match probe.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            found.unlink()?;
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => {
            let text = format!("{} is in use by a running process", path.display());
            Err(io::Error::new(io::ErrorKind::AddrInUse, text))
        }
    }
}
