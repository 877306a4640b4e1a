//! Credentials of the process that connected a Unix stream, as of the connect.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::socket::{getsockopt, sockopt};
use socket2::{Domain, SockRef};

use crate::calls;

/// Credentials of the connecting process, as of the connect: the process may have changed them since, or passed the
/// stream on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCredentials {
    /// The effective user id.
    pub uid: u32,
    /// The effective group id.
    pub gid: u32,
    /// The process id; 0 when it has none in our namespace.
    pub pid: u32,
    /// The supplementary groups, unordered.
    pub groups: Vec<u32>,
}

impl PeerCredentials {
    /// Returns the credentials of the peer that connected `stream`.
    ///
    /// # Errors
    /// `InvalidInput` when `stream` is no Unix socket; `ENOTCONN` when it has no peer.
    pub fn of(stream: &impl AsFd) -> io::Result<Self> {
        let stream = stream.as_fd();
        if SockRef::from(&stream).domain()? != Domain::UNIX {
            let text = "only a Unix socket knows who its peer is";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let found = getsockopt(&stream, sockopt::PeerCredentials)?;
        if found.uid() == libc::uid_t::MAX {
            return Err(io::Error::from_raw_os_error(libc::ENOTCONN));
        }
        Ok(Self {
            uid: found.uid(),
            gid: found.gid(),
            pid: u32::try_from(found.pid()).unwrap_or(0),
            groups: groups(stream)?,
        })
    }

    /// Whether the peer is a member of this group.
    #[must_use]
    pub fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

fn groups(stream: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    // The first call returns the number of groups.
    let mut groups = Vec::new();
    loop {
        let room = groups.len();
        match calls::peer_groups(stream, &mut groups) {
            (Ok(()), count) => {
                groups.truncate(count);
                return Ok(groups);
            }
            (Err(error), count) if error.raw_os_error() == Some(libc::ERANGE) && count > room => {
                groups.resize(count, 0);
            }
            (Err(error), _) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    #[test]
    fn peer_credentials_of_both_ends() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        let own: BTreeSet<u32> = nix::unistd::getgroups()
            .unwrap()
            .iter()
            .map(|group| group.as_raw())
            .collect();
        for end in [&client, &server] {
            let peer = PeerCredentials::of(end).unwrap();
            assert_eq!(peer.uid, crate::process::effective_uid());
            assert_eq!(peer.gid, crate::process::effective_gid());
            assert_eq!(peer.pid, std::process::id());
            assert_eq!(peer.groups.iter().copied().collect::<BTreeSet<_>>(), own);
        }
    }

    #[test]
    fn peer_is_in_its_primary_and_supplementary_groups() {
        let peer = PeerCredentials {
            uid: 7,
            gid: 8,
            pid: 9,
            groups: vec![20, 30],
        };
        assert!(peer.is_in_group(8) && peer.is_in_group(30));
        assert!(!peer.is_in_group(7) && !peer.is_in_group(9));
    }

    #[test]
    fn peer_of_an_unconnected_socket_is_an_error() {
        let alone = UnixDatagram::unbound().unwrap();
        let error = PeerCredentials::of(&alone).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTCONN));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let error = PeerCredentials::of(&client).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
