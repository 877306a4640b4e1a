//! Where a service listens: the URLs under `listen:`, and which of them get in each other's way.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::node::Place;

/// One socket to be bound, and where the file asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// What is bound.
    pub address: ListenAddress,
    /// Where its URL stands.
    pub place: Place,
}

/// What is bound. `Display` prints the URL form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// `tcp://ADDRESS:PORT`; `[::]` takes IPv4 too; port 0 lets the kernel choose.
    Tcp(SocketAddr),
    /// `udp://ADDRESS:PORT`, likewise.
    Udp(SocketAddr),
    /// `unix:///path`: a stream socket.
    Unix(UnixAddress),
    /// `unixgram:///path`: a datagram socket.
    Unixgram(UnixAddress),
}

/// A socket in the file system, and who may use it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixAddress {
    /// Absolute, at most 107 bytes.
    pub path: PathBuf,
    /// The mode bits of the socket, at most 0777; `None` leaves them to the umask.
    pub mode: Option<u32>,
    /// The group that owns the socket; `None` leaves it to the process.
    pub group: Option<String>,
}
