//! The sockets that the service manager, or the process before this one, passed at the start, until each has found its listener.

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

/// What was passed and nobody has claimed.
///
/// Claim for all listeners of the configuration, then close the [leftover](Self::leftover), and only then bind the
/// rest: what is left over may be in the way of what is new.
#[derive(Debug, Default)]
pub struct Activation {
    unclaimed: Vec<Inherited>,
    /// Names under which something was claimed.
    claimed: HashSet<String>,
}

/// A socket for a listener.
#[derive(Debug)]
pub struct PassedSocket {
    /// What the manager calls it.
    pub name: String,
    /// It; of another kind than the listener's only when it was claimed by its name.
    pub socket: InheritedSocket,
    /// Whether it is one that an earlier process of the daemon bound and stored: then its file, if it has one, is ours.
    /// Else it belongs to a unit of the manager, and is not to be stored.
    pub is_ours: bool,
}

/// What a listener asks for.
#[derive(Debug, Clone, Copy)]
enum Wanted<'a> {
    Tcp(SocketAddr),
    Udp(SocketAddr),
    Unix(&'a Path),
    Unixgram(&'a Path),
}

impl Activation {
    /// All that was passed.
    #[must_use]
    pub fn new(unclaimed: Vec<Inherited>) -> Self {
        let claimed = HashSet::new();
        Self { unclaimed, claimed }
    }

    /// The socket for a listener, by its kind and address, or by its name for `fd://NAME`. One that an earlier process
    /// of the daemon stored comes before one of a unit; one whose file is gone is none, for nobody would find it.
    ///
    /// One that the process before this one bound to a port of the kernel's choice is found by its `service`.
    pub fn claim(&mut self, address: &ListenAddress, service: &str) -> Option<PassedSocket> {
        if let Some(operation) = ephemeral_name(address, service) {
            let index = self
                .unclaimed
                .iter()
                .position(|one| one.name == operation)?;
            return Some(self.take(index));
        }
        let wanted = match address {
            ListenAddress::Tcp(at) => Wanted::Tcp(canonical(*at)),
            ListenAddress::Udp(at) => Wanted::Udp(canonical(*at)),
            ListenAddress::Unix(at) => Wanted::Unix(&at.path),
            ListenAddress::Unixgram(at) => Wanted::Unixgram(&at.path),
            ListenAddress::Inherited { name } => return self.claim_named(name),
        };
        let fits = |one: &Inherited| wanted.is(&one.socket) && is_reachable(&one.socket);
        let ours = |one: &Inherited| is_fdstore_name(&one.name) && fits(one);
        let all = self.unclaimed.iter();
        let index = all
            .clone()
            .position(ours)
            .or_else(|| all.clone().position(fits))?;
        Some(self.take(index))
    }

    /// The first that the manager calls by this name, whatever it is. Names of stored sockets are not to be asked for.
    fn claim_named(&mut self, name: &str) -> Option<PassedSocket> {
        let of_name = |one: &Inherited| one.name == name && !is_fdstore_name(name);
        let index = self.unclaimed.iter().position(of_name)?;
        Some(self.take(index))
    }

    fn take(&mut self, index: usize) -> PassedSocket {
        let Inherited { name, mut socket } = self.unclaimed.remove(index);
        let is_ours = is_fdstore_name(&name);
        if is_ours {
            adopt(&name, &mut socket);
        }
        self.claimed.insert(name.clone());
        PassedSocket {
            name,
            socket,
            is_ours,
        }
    }

    /// Closes what nobody has claimed, so that no queue fills that nobody reads, and lets the manager forget it.
    pub fn leftover(self, manager: &ServiceManager) {
        for Inherited { name, mut socket } in self.unclaimed {
            let address = socket.local_address();
            let address = address.map_or_else(|| "none".to_owned(), |address| address.to_string());
            match &socket {
                InheritedSocket::Other { why } => tracing::warn!(
                    name,
                    reason = why,
                    "the service manager passes something that cannot be listened on: it is closed"
                ),
                InheritedSocket::Listening(_) | InheritedSocket::Datagrams(_) => tracing::warn!(
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

impl Wanted<'_> {
    fn is(self, socket: &InheritedSocket) -> bool {
        let Some(local) = socket.local_address() else {
            return false;
        };
        let streams = matches!(socket, InheritedSocket::Listening(_));
        match (self, local) {
            (Self::Tcp(wanted), PeerAddress::Ip(local)) => streams && wanted == local,
            (Self::Udp(wanted), PeerAddress::Ip(local)) => !streams && wanted == local,
            (Self::Unix(wanted), PeerAddress::Unix(Some(local))) => {
                streams && wanted.as_os_str().as_bytes() == local
            }
            (Self::Unixgram(wanted), PeerAddress::Unix(Some(local))) => {
                !streams && wanted.as_os_str().as_bytes() == local
            }
            _ => false,
        }
    }
}

/// As the kernel's answers are given: a v4-mapped address as v4.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::from((ip, address.port())),
        IpAddr::V6(_) => address,
    }
}

/// Whether a Unix socket's file is still where its clients look for it.
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

/// Takes the file of a stored Unix socket for ours. One that is gone is no fault.
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
