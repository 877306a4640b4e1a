//! Socket addresses of peers.
//!
//! An IPv4 peer of a dual-stack socket arrives as `::ffff:a.b.c.d`; it is always represented as
//! IPv4, so that access lists and logs see one form.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use socket2::SockAddr;

/// An owned socket address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerAddress {
    /// Address and port; never v4-mapped.
    Ip(SocketAddr),
    /// A path, or an abstract name with its leading zero byte; `None`: an unnamed socket.
    Unix(Option<Vec<u8>>),
}

/// A borrowed socket address, cheap to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerRef<'a> {
    /// Address and port; never v4-mapped.
    Ip(SocketAddr),
    /// A path, or an abstract name with its leading zero byte; `None`: an unnamed socket.
    Unix(Option<&'a [u8]>),
}

impl PeerAddress {
    /// Borrows the address.
    #[must_use]
    pub fn as_ref(&self) -> PeerRef<'_> {
        match self {
            Self::Ip(address) => PeerRef::Ip(*address),
            Self::Unix(name) => PeerRef::Unix(name.as_deref()),
        }
    }

    /// Converts an address from the kernel. A family that Polyport does not serve becomes an
    /// unnamed one.
    pub(crate) fn from_kernel(address: &SockAddr) -> Self {
        if let Some(ip) = address.as_socket() {
            return Self::Ip(canonical(ip));
        }
        let path = address
            .as_pathname()
            .map(|path| path.as_os_str().as_bytes().to_vec());
        Self::Unix(path.or_else(|| address.as_abstract_namespace().map(abstract_name)))
    }
}

impl PeerRef<'_> {
    /// Copies the address (allocates for a Unix name only).
    #[must_use]
    pub fn to_owned(&self) -> PeerAddress {
        match self {
            Self::Ip(address) => PeerAddress::Ip(*address),
            Self::Unix(name) => PeerAddress::Unix(name.map(<[u8]>::to_vec)),
        }
    }
}

/// Converts a v4-mapped address to IPv4; the port stays.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

fn abstract_name(name: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(name.len() + 1);
    whole.push(0);
    whole.extend_from_slice(name);
    whole
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`, `/run/x.sock`, `@abstract`, `unnamed`; odd bytes escaped.
impl fmt::Display for PeerRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(None) => f.write_str("unnamed"),
            Self::Unix(Some([0, name @ ..])) => write!(f, "@{}", name.escape_ascii()),
            Self::Unix(Some(path)) => path.escape_ascii().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_never_v4_mapped() {
        let mapped: SocketAddr = "[::ffff:192.0.2.7]:53".parse().unwrap();
        let shown = PeerAddress::from_kernel(&SockAddr::from(mapped));
        assert_eq!(shown, PeerAddress::Ip("192.0.2.7:53".parse().unwrap()));
        let v6: SocketAddr = "[2001:db8::1]:53".parse().unwrap();
        assert_eq!(
            PeerAddress::from_kernel(&SockAddr::from(v6)).to_string(),
            "[2001:db8::1]:53"
        );
    }

    #[test]
    fn address_keeps_unix_names_and_escapes_them() {
        let path = PeerAddress::from_kernel(&SockAddr::unix("/run/a\nb").unwrap());
        assert_eq!(path, PeerAddress::Unix(Some(b"/run/a\nb".to_vec())));
        assert_eq!(path.to_string(), "/run/a\\nb");
        let hidden = PeerAddress::from_kernel(&SockAddr::unix("\0bus").unwrap());
        assert_eq!(hidden, PeerAddress::Unix(Some(b"\0bus".to_vec())));
        assert_eq!(hidden.to_string(), "@bus");
        let none = PeerAddress::from_kernel(&SockAddr::unix("").unwrap());
        assert_eq!(none.to_string(), "unnamed");
        assert_eq!(hidden.as_ref().to_owned(), hidden);
    }
}
