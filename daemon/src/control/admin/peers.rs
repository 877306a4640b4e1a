//! Who may ask: root, the daemon's own user, and the members of the daemon's own group.

use std::fmt;
use std::io;

use tokio::net::UnixStream;

/// Who is at the other end of a connection, as it was when they connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The process, where the kernel tells; it may be gone by now.
    pub pid: Option<i32>,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

impl Peer {
    /// What the kernel says of the other end.
    ///
    /// # Errors
    /// What it says to a wrong descriptor, so never in practice.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let found = stream.peer_cred()?;
        Ok(Self {
            uid: found.uid(),
            gid: found.gid(),
            pid: found.pid(),
            groups: Vec::new(),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) => write!(out, "uid {}, pid {pid}", self.uid),
            None => write!(out, "uid {}", self.uid),
        }
    }
}

/// The daemon's own user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Own {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl Own {
    /// Those of this process.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn of_this_process() -> io::Result<Self> {
        // Who connects two sockets to each other is at both ends.
        let (here, _there) = UnixStream::pair()?;
        let found = here.peer_cred()?;
        Ok(Self {
            uid: found.uid(),
            gid: found.gid(),
        })
    }

    /// May this peer ask?
    #[must_use]
    pub fn admits(self, peer: &Peer) -> bool {
        peer.uid == 0
            || peer.uid == self.uid
            || peer.gid == self.gid
            || peer.groups.contains(&self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
        Peer {
            uid,
            gid,
            pid: Some(1),
            groups: groups.to_vec(),
        }
    }

    #[test]
    fn root_the_own_user_and_the_own_group_may_ask() {
        let own = Own { uid: 990, gid: 991 };
        assert!(own.admits(&peer(0, 0, &[])));
        assert!(own.admits(&peer(990, 5, &[])));
        assert!(own.admits(&peer(1000, 991, &[])));
        assert!(own.admits(&peer(1000, 1000, &[4, 991])));
        assert!(!own.admits(&peer(1000, 1000, &[4, 27])));
        // The number of a user is not that of a group.
        assert!(!own.admits(&peer(991, 990, &[990])));
    }

    #[tokio::test]
    async fn both_ends_of_a_pair_are_this_process() {
        let (here, _there) = UnixStream::pair().unwrap();
        let peer = Peer::of(&here).unwrap();
        let own = Own::of_this_process().unwrap();
        assert_eq!((peer.uid, peer.gid), (own.uid, own.gid));
        assert_eq!(peer.pid, Some(std::process::id().cast_signed()));
        assert!(own.admits(&peer));
    }
}
