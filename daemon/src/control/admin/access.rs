//! Access control: root, the user of the daemon, and members of its group.

use polyport_sys::peer::PeerCredentials;
use polyport_sys::process;

/// The user and the group of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedPeers {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

impl AllowedPeers {
    /// The ids of this process.
    pub fn of_this_process() -> Self {
        Self {
            uid: process::effective_uid(),
            gid: process::effective_gid(),
        }
    }

    /// Returns whether this peer has access.
    pub fn allows(self, peer: &PeerCredentials) -> bool {
        peer.uid == 0 || peer.uid == self.uid || peer.is_in_group(self.gid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, gid: u32, groups: &[u32]) -> PeerCredentials {
        PeerCredentials {
            uid,
            gid,
            pid: 1,
            groups: groups.to_vec(),
        }
    }

    #[test]
    fn access_is_for_root_and_the_user_and_group_of_the_daemon() {
        let own = AllowedPeers { uid: 990, gid: 991 };
        assert!(own.allows(&peer(0, 0, &[])));
        assert!(own.allows(&peer(990, 5, &[])));
        assert!(own.allows(&peer(1000, 991, &[])));
        assert!(own.allows(&peer(1000, 1000, &[4, 991])));
        assert!(!own.allows(&peer(1000, 1000, &[4, 27])));
        // A user id is not a group id.
        assert!(!own.allows(&peer(991, 990, &[990])));
    }
}
