//! Unix sockets that have a place in the file system: bind, take over what is dead, clean up.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::process;

/// The file of a bound socket, known by its inode so that a successor's is never removed.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketPath {
    /// The file that is at `path` now.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            device: found.dev(),
            inode: found.ino(),
        })
    }

    /// Removes the file if it is still this one; says whether.
    pub(crate) fn unlink(&self) -> io::Result<bool> {
        let ours = self.is_there()?;
        if ours {
            fs::remove_file(&self.path)?;
        }
        Ok(ours)
    }

    /// Gives the file another mode and group, as if it were bound anew with them.
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

/// The group that a new file there has: the folder's if that is set to hand it down, else our own.
fn group_of_new(path: &Path) -> io::Result<u32> {
    const HANDED_DOWN: u32 = 0o2000;
    let folder = fs::metadata(path.parent().unwrap_or(Path::new("/")))?;
    Ok(if folder.mode() & HANDED_DOWN == 0 {
        process::effective_gid()
    } else {
        folder.gid()
    })
}

/// The mode that a new socket has by the process's umask. It is looked up, because to ask by `umask` is to change it.
fn mode_of_new() -> io::Result<u32> {
    let status = fs::read_to_string("/proc/self/status")?;
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .and_then(|digits| u32::from_str_radix(digits.trim(), 8).ok());
    mask.map(|mask| 0o777 & !mask)
        .ok_or_else(|| io::Error::other("the system does not tell the umask"))
}

/// A socket bound at `path`, its file with mode and group already right.
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
        // The file is born with the socket's own mode: closed to all until it has the right one.
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
    // A sandbox may forbid the call itself, even where it would change nothing.
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

/// Removes the file of a socket on which nobody answers; everything else there is an error.
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
