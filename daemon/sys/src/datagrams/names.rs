//! Conversion between the kernel's socket addresses and our types.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::Family;
use crate::address::{PeerRef, canonical};

/// Size of the longest address, that of a Unix socket (110 bytes).
pub(super) const NAME_BYTES: usize = NAME_LENGTH as usize;
/// The same, as the kernel counts it.
pub(super) const NAME_LENGTH: u32 = 112;

const UNIX_NAME_MAX: usize = 108;
const FAMILY_BYTES: usize = 2;

/// One socket address, aligned as the kernel's structures are.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Name(pub(super) [u8; NAME_BYTES]);

const _: () = assert!(size_of::<libc::sockaddr_in>() == 16);
const _: () = assert!(size_of::<libc::sockaddr_in6>() == 28);
const _: () = assert!(size_of::<libc::sockaddr_un>() <= NAME_BYTES);

impl Name {
    pub(super) const EMPTY: Self = Self([0; NAME_BYTES]);

    /// Writes `peer` for a socket of `family`; returns the length. A peer that such a socket cannot
    /// reach gets a name that the kernel refuses, so that the send reports the error.
    pub(super) fn write(&mut self, peer: PeerRef<'_>, family: Family) -> u32 {
        match (peer, family) {
            (PeerRef::Ip(SocketAddr::V4(v4)), Family::V4) => self.write_v4(*v4.ip(), v4.port()),
            (PeerRef::Ip(SocketAddr::V4(v4)), _) => {
                let mapped = v4.ip().to_ipv6_mapped();
                self.write_v6(SocketAddrV6::new(mapped, v4.port(), 0, 0))
            }
            (PeerRef::Ip(SocketAddr::V6(v6)), _) => self.write_v6(v6),
            (PeerRef::Unix(name), _) => self.write_unix(name.unwrap_or_default()),
        }
    }

    fn write_v4(&mut self, ip: Ipv4Addr, port: u16) -> u32 {
        self.write_family(libc::AF_INET);
        self.0[2..4].copy_from_slice(&port.to_be_bytes());
        self.0[4..8].copy_from_slice(&ip.octets());
        self.0[8..16].fill(0);
        16
    }

    fn write_v6(&mut self, address: SocketAddrV6) -> u32 {
        self.write_family(libc::AF_INET6);
        self.0[2..4].copy_from_slice(&address.port().to_be_bytes());
        self.0[4..8].copy_from_slice(&address.flowinfo().to_ne_bytes());
        self.0[8..24].copy_from_slice(&address.ip().octets());
        self.0[24..28].copy_from_slice(&address.scope_id().to_ne_bytes());
        28
    }

    fn write_unix(&mut self, name: &[u8]) -> u32 {
        self.write_family(libc::AF_UNIX);
        let room = &mut self.0[FAMILY_BYTES..FAMILY_BYTES + UNIX_NAME_MAX];
        let Some((place, rest)) = room.split_at_mut_checked(name.len()) else {
            return 2;
        };
        place.copy_from_slice(name);
        // A path ends with a zero byte if there is room; an abstract name has no end mark.
        let is_path = name.first().is_some_and(|byte| *byte != 0);
        let end = usize::from(is_path && !rest.is_empty());
        rest.iter_mut().take(end).for_each(|byte| *byte = 0);
        u32::try_from(FAMILY_BYTES + name.len() + end).unwrap_or(2)
    }

    fn write_family(&mut self, family: i32) {
        let short = u16::try_from(family).unwrap_or(0);
        self.0[..FAMILY_BYTES].copy_from_slice(&short.to_ne_bytes());
    }
}

/// Reads an address from the kernel; `bytes` has the length that it returned.
pub(super) fn read(bytes: &[u8]) -> PeerRef<'_> {
    let Some((family, rest)) = bytes.split_first_chunk::<FAMILY_BYTES>() else {
        return PeerRef::Unix(None);
    };
    let family = i32::from(u16::from_ne_bytes(*family));
    match family {
        libc::AF_INET => read_v4(rest),
        libc::AF_INET6 => read_v6(rest),
        _ => None,
    }
    .map_or_else(|| PeerRef::Unix(unix_name(rest)), PeerRef::Ip)
}

fn read_v4(rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be_bytes(*port)))
}

fn read_v6(rest: &[u8]) -> Option<SocketAddr> {
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_flow, rest) = rest.split_first_chunk::<4>()?;
    let (ip, rest) = rest.split_first_chunk::<16>()?;
    let scope = u32::from_ne_bytes(*rest.first_chunk::<4>()?);
    // The flow label is ignored: it may differ between datagrams of one peer.
    let address = SocketAddrV6::new(Ipv6Addr::from(*ip), u16::from_be_bytes(*port), 0, scope);
    Some(canonical(address.into()))
}

fn unix_name(rest: &[u8]) -> Option<&[u8]> {
    let name = match rest {
        [0, ..] => rest,
        _ => rest.split(|byte| *byte == 0).next().unwrap_or(rest),
    };
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(peer: PeerRef<'_>, family: Family) {
        let mut name = Name([0xff; NAME_BYTES]);
        let length = name.write(peer, family) as usize;
        assert_eq!(read(&name.0[..length]), peer, "{peer}");
    }

    #[test]
    fn names_round_trip() {
        let v4 = PeerRef::Ip("192.0.2.1:53".parse().unwrap());
        round_trip(v4, Family::V4);
        round_trip(v4, Family::V6);
        round_trip(PeerRef::Ip("[2001:db8::9]:1".parse().unwrap()), Family::V6);
        round_trip(
            PeerRef::Ip("[fe80::1%3]:65535".parse().unwrap()),
            Family::V6,
        );
        round_trip(PeerRef::Unix(Some(b"/run/x")), Family::Unix);
        round_trip(PeerRef::Unix(Some(b"\0a\0b")), Family::Unix);
        round_trip(PeerRef::Unix(Some(&[b'p'; UNIX_NAME_MAX])), Family::Unix);
        round_trip(PeerRef::Unix(None), Family::Unix);
    }

    #[test]
    fn names_match_the_layout_of_socket2() {
        for text in ["127.0.0.1:7", "[::1]:7", "[fe80::2%4]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            let family = if address.is_ipv6() {
                Family::V6
            } else {
                Family::V4
            };
            let mut name = Name([0xff; NAME_BYTES]);
            let length = name.write(PeerRef::Ip(address), family);
            let theirs = socket2::SockAddr::from(address);
            assert_eq!(length, theirs.len());
            // SAFETY: `theirs` is `theirs.len()` initialised bytes.
            let bytes = unsafe {
                std::slice::from_raw_parts(theirs.as_ptr().cast::<u8>(), length as usize)
            };
            assert_eq!(&name.0[..length as usize], bytes);
        }
    }

    #[test]
    fn names_read_garbage_as_unnamed() {
        let none = PeerRef::Unix(None);
        assert_eq!(read(&[]), none);
        assert_eq!(read(&[1]), none);
        assert_eq!(read(&u16::to_ne_bytes(1)), none);
        let mut name = Name::EMPTY;
        assert_eq!(
            name.write(PeerRef::Unix(Some(&[b'x'; 109])), Family::Unix),
            2
        );
    }
}
