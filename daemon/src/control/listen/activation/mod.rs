//! Socket activation: sockets that the service manager or an old process passed at the start, until each is claimed for
//! its listener.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use polyport_config::ListenAddress;
use polyport_sys::{Inherited, InheritedSocket, PeerAddress};

use crate::control::listen::fdstore::{ephemeral_name, is_fdstore_name};
use crate::control::service_manager::ServiceManager;

/// Passed sockets that are not claimed.
///
/// Claim for all listeners of the configuration, then [close the rest](Self::close_unclaimed), and only then bind new
/// sockets: an unclaimed one may occupy their address.
#[derive(Debug, Default)]
pub struct Activation {
    unclaimed: Vec<Inherited>,
    /// Names of claimed sockets.
    claimed: HashSet<String>,
}

/// A socket for a listener.
#[derive(Debug)]
pub struct PassedSocket {
    /// The name under which it was passed.
    pub name: String,
    /// The socket; of another kind than the listener only if it was claimed by name.
    pub socket: InheritedSocket,
    /// An earlier process of the daemon bound it, so that this one owns its file. Otherwise it belongs to a socket unit,
    /// and is not to be stored.
    pub is_bound: bool,
}

impl Activation {
    /// Nothing is claimed yet.
    pub fn new(unclaimed: Vec<Inherited>) -> Self {
        let claimed = HashSet::new();
        Self { unclaimed, claimed }
    }

    /// Claims the socket for a listener, by kind and address, or by name for `fd://NAME`. A stored one has precedence over
    /// one of a unit; a Unix socket whose file is gone is not claimed, because no client could reach it.
    ///
    /// A socket that an old process bound to a port chosen by the kernel is found by its `service`.
    pub fn claim(&mut self, address: &ListenAddress, service: &str) -> Option<PassedSocket> {
        if let Some(name) = ephemeral_name(address, service) {
            let index = self.unclaimed.iter().position(|one| one.name == name)?;
            return Some(self.take(index));
        }
        let fits = |one: &&Inherited| match address {
            // Names of stored sockets cannot be claimed.
            ListenAddress::Inherited { name } => one.name == *name && !is_fdstore_name(name),
            _ => is_at(&one.socket, address) && is_reachable(&one.socket),
        };
        let fitting = self
            .unclaimed
            .iter()
            .enumerate()
            .filter(|(_, one)| fits(one));
        // The first stored one, or else the first.
        let (index, _) = fitting.min_by_key(|(_, one)| !is_fdstore_name(&one.name))?;
        Some(self.take(index))
    }

    fn take(&mut self, index: usize) -> PassedSocket {
        let Inherited { name, mut socket } = self.unclaimed.remove(index);
        let is_bound = is_fdstore_name(&name);
        if is_bound {
            adopt(&name, &mut socket);
        }
        self.claimed.insert(name.clone());
        PassedSocket {
            name,
            socket,
            is_bound,
        }
    }

    /// Closes what was not claimed, so that no unread queue fills, and removes it from the store of the service manager.
    pub fn close_unclaimed(self, manager: &ServiceManager) {
        for Inherited { name, mut socket } in self.unclaimed {
            let address = socket.local_address();
            let address = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
            match &socket {
                InheritedSocket::Other { why } => tracing::warn!(
                    name,
                    reason = why,
                    "the service manager passes something that cannot be listened on: it is closed"
                ),
                InheritedSocket::Stream(_) | InheritedSocket::Datagram(_) => tracing::warn!(
                    name,
                    address,
                    "the service manager passes a socket that no service listens on: it is closed"
                ),
            }
            if is_fdstore_name(&name) {
                adopt(&name, &mut socket);
                if let Err(error) = socket.unlink() {
                    tracing::warn!(name, %error, "the file of the socket cannot be removed");
                }
            }
            drop(socket);
            if !self.claimed.contains(&name) {
                manager.unstore(&name);
            }
        }
    }
}

/// Returns whether a socket has the kind and the local address of a listener.
fn is_at(socket: &InheritedSocket, address: &ListenAddress) -> bool {
    let streams = matches!(socket, InheritedSocket::Stream(_));
    match (address, socket.local_address()) {
        (ListenAddress::Tcp(at), Some(PeerAddress::Ip(local))) => {
            streams && canonical(*at) == local
        }
        (ListenAddress::Udp(at), Some(PeerAddress::Ip(local))) => {
            !streams && canonical(*at) == local
        }
        (ListenAddress::Unix(at), Some(PeerAddress::Unix(Some(local)))) => {
            streams && at.path.as_os_str().as_bytes() == local
        }
        (ListenAddress::Unixgram(at), Some(PeerAddress::Unix(Some(local)))) => {
            !streams && at.path.as_os_str().as_bytes() == local
        }
        _ => false,
    }
}

/// The form in which the kernel returns addresses: a v4-mapped one as v4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// Returns whether the file of a Unix socket still exists.
fn is_reachable(socket: &InheritedSocket) -> bool {
    match socket.local_address() {
        Some(PeerAddress::Unix(Some(path))) => {
            let path = Path::new(OsStr::from_bytes(&path));
            path.symlink_metadata()
                .is_ok_and(|found| found.file_type().is_socket())
        }
        _ => true,
    }
}

/// Makes this process the owner of the file of a stored Unix socket. A missing file is not an error.
fn adopt(name: &str, socket: &mut InheritedSocket) {
    match socket.adopt_file() {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(name, %error, "the file of the socket cannot be looked at, and will not be removed");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests;
