//! Who may ask: root, the daemon's own user, and the members of the daemon's own group.

use polyport_sys::peer::Peer;
use polyport_sys::process;

/// The daemon's own user and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedPeers {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl AllowedPeers {
    /// Those of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            uid: process::effective_uid(),
            gid: process::effective_gid(),
        }
    }

    /// May this peer ask?
    #[must_use]
    pub fn admits(self, peer: &Peer) -> bool {
        peer.uid == 0 || peer.uid == self.uid || peer.is_in_group(self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> Peer {
        Peer {
            uid,
            gid,
            pid: 1,
            groups: groups.to_vec(),
        }
    }

    #[test]
    fn root_the_own_user_and_the_own_group_may_ask() {
        let own = AllowedPeers { uid: 990, gid: 991 };
        assert!(own.admits(&peer(0, 0, &[])));
        assert!(own.admits(&peer(990, 5, &[])));
        assert!(own.admits(&peer(1000, 991, &[])));
        assert!(own.admits(&peer(1000, 1000, &[4, 991])));
        assert!(!own.admits(&peer(1000, 1000, &[4, 27])));
        // The number of a user is not that of a group.
        assert!(!own.admits(&peer(991, 990, &[990])));
    }
}
