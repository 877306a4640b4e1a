//! Network addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use polyport_abi::{PP_FAMILY_UNIX, PP_FAMILY_V4, PP_FAMILY_V6, PpAddr};

/// An address of the host. IPv4 is never mapped into IPv6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Address(pub(crate) PpAddr);

impl Address {
    /// The IP address, if the family is IP. `[any]`
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.0.family {
            PP_FAMILY_V4 => {
                let [a, b, c, d, ..] = self.0.ip;
                Some(Ipv4Addr::new(a, b, c, d).into())
            }
            PP_FAMILY_V6 => Some(Ipv6Addr::from(self.0.ip).into()),
            _ => None,
        }
    }

    /// The port, if the family is IP. `[any]`
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        match self.0.family {
            PP_FAMILY_V4 | PP_FAMILY_V6 => Some(self.0.port),
            _ => None,
        }
    }

    /// Whether it is a Unix address; its path is the attribute `unix.path`. `[any]`
    #[must_use]
    pub const fn is_unix(&self) -> bool {
        self.0.family == PP_FAMILY_UNIX
    }

    /// Address and port, if the family is IP. `[any]`
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        Some(match self.ip()? {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), self.0.port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, self.0.port, 0, self.0.scope).into(),
        })
    }
}

impl From<SocketAddr> for Address {
    fn from(from: SocketAddr) -> Self {
        let mut addr = PpAddr {
            port: from.port(),
            ..PpAddr::default()
        };
        match from {
            SocketAddr::V4(v4) => {
                addr.family = PP_FAMILY_V4;
                let [a, b, c, d] = v4.ip().octets();
                addr.ip = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            }
            SocketAddr::V6(v6) => {
                addr.family = PP_FAMILY_V6;
                addr.scope = v6.scope_id();
                addr.ip = v6.ip().octets();
            }
        }
        Self(addr)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket_addr() {
            Some(addr) => addr.fmt(f),
            None if self.is_unix() => f.write_str("unix"),
            None => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_round_trips_for_both_families() {
        for text in ["192.0.2.7:19", "[2001:db8::1]:65535", "[fe80::1%3]:7"] {
            let addr: SocketAddr = text.parse().unwrap();
            let there = Address::from(addr);
            assert_eq!(there.socket_addr(), Some(addr));
            assert_eq!(there.to_string(), text);
            assert_eq!(there.port(), Some(addr.port()));
        }
        assert_eq!(Address::default().ip(), None);
    }
}
