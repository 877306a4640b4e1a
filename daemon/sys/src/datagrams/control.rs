//! Control messages of a datagram: local address, segment size, drop count.
//!
//! Written and read as bytes in the layout of `struct cmsghdr`: length (of header and data), level,
//! kind, data, padded to a word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Family, LocalAddress};

/// Room for all control messages of one received datagram.
pub(super) const RECEIVE_BYTES: usize = 128;
/// Room for a source address and a segment size.
pub(super) const SEND_BYTES: usize = 64;

const WORD: usize = size_of::<usize>();
const HEADER_BYTES: usize = WORD + 8;

const _: () = assert!(size_of::<libc::cmsghdr>() == HEADER_BYTES);
const _: () = assert!(std::mem::offset_of!(libc::cmsghdr, cmsg_level) == WORD);
const _: () = assert!(std::mem::offset_of!(libc::cmsghdr, cmsg_type) == WORD + 4);

/// Control bytes of one message, aligned as `struct cmsghdr` is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control<const N: usize>(pub(super) [u8; N]);

impl<const N: usize> Control<N> {
    pub(super) const EMPTY: Self = Self([0; N]);

    /// Writes one message at `at`; returns where the next one starts. The room suffices for all
    /// messages of this module; beyond it nothing is written.
    fn append(&mut self, at: usize, level: i32, kind: i32, data: &[u8]) -> usize {
        let length = HEADER_BYTES + data.len();
        let end = at + length.next_multiple_of(WORD);
        let Some(place) = self.0.get_mut(at..end) else {
            return at;
        };
        let parts = [
            &length.to_ne_bytes()[..],
            &level.to_ne_bytes(),
            &kind.to_ne_bytes(),
            data,
        ];
        for (slot, byte) in place.iter_mut().zip(parts.into_iter().flatten()) {
            *slot = *byte;
        }
        end
    }
}

impl Control<SEND_BYTES> {
    /// Writes the local address to send from; returns the bytes used.
    pub(super) fn write_source(&mut self, from: LocalAddress, family: Family) -> usize {
        match (from.ip, family) {
            (_, Family::Unix) => 0,
            (IpAddr::V4(ip), Family::V4) => {
                // No interface: the routing table may send the reply through another one.
                let mut data = [0; 12];
                data[4..8].copy_from_slice(&ip.octets());
                self.append(0, libc::IPPROTO_IP, libc::IP_PKTINFO, &data)
            }
            (ip, _) => {
                let mut data = [0; 20];
                let (ip, interface) = source_v6(ip, from.interface);
                data[..16].copy_from_slice(&ip.octets());
                data[16..].copy_from_slice(&interface.to_ne_bytes());
                self.append(0, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &data)
            }
        }
    }

    /// Writes, after `at` bytes, the size of each datagram of the message.
    pub(super) fn write_segment(&mut self, at: usize, bytes: u16) -> usize {
        self.append(at, libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes())
    }
}

/// A multicast address cannot be a source, and a link-local one needs its interface.
fn source_v6(ip: IpAddr, interface: u32) -> (Ipv6Addr, u32) {
    match ip {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), 0),
        IpAddr::V6(ip) if ip.is_multicast() => (Ipv6Addr::UNSPECIFIED, interface),
        IpAddr::V6(ip) if ip.is_unicast_link_local() => (ip, interface),
        IpAddr::V6(ip) => (ip, 0),
    }
}

/// The control messages of one received message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ancillary {
    /// The local address that it was sent to.
    pub(super) to: Option<LocalAddress>,
    /// The size of each coalesced datagram; 0 for a single datagram.
    pub(super) segment: usize,
    /// Total drops of this socket when this message was queued.
    pub(super) drops: Option<u32>,
}

/// Reads the control bytes of one message; unknown or malformed parts are skipped.
pub(super) fn read(mut bytes: &[u8]) -> Ancillary {
    let mut found = Ancillary::default();
    while let Some((level, kind, data, rest)) = split_first(bytes) {
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => found.to = read_v4(data).or(found.to),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => found.to = read_v6(data).or(found.to),
            (libc::SOL_UDP, libc::UDP_GRO) => found.segment = number(data).unwrap_or(0) as usize,
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => found.drops = number(data),
            _ => {}
        }
        bytes = rest;
    }
    found
}

fn split_first(bytes: &[u8]) -> Option<(i32, i32, &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<WORD>()?;
    let (level, rest) = rest.split_first_chunk::<4>()?;
    let (kind, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::from_ne_bytes(*length);
    let data = rest.get(..length.checked_sub(HEADER_BYTES)?)?;
    let next = bytes
        .get(length.checked_next_multiple_of(WORD)?..)
        .unwrap_or_default();
    Some((
        i32::from_ne_bytes(*level),
        i32::from_ne_bytes(*kind),
        data,
        next,
    ))
}

fn number(data: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(*data.first_chunk::<4>()?))
}

/// `struct in_pktinfo`: interface, the address to answer from, the address in the header.
fn read_v4(data: &[u8]) -> Option<LocalAddress> {
    let (interface, rest) = data.split_first_chunk::<4>()?;
    let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
    Some(LocalAddress {
        ip: IpAddr::V4(ip),
        interface: u32::from_ne_bytes(*interface),
    })
}

/// `struct in6_pktinfo`: the address in the header, interface.
fn read_v6(data: &[u8]) -> Option<LocalAddress> {
    let (ip, rest) = data.split_first_chunk::<16>()?;
    let ip = IpAddr::V6(Ipv6Addr::from(*ip)).to_canonical();
    Some(LocalAddress {
        ip,
        interface: number(rest)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(ip: &str, interface: u32) -> LocalAddress {
        LocalAddress {
            ip: ip.parse().unwrap(),
            interface,
        }
    }

    fn written(from: LocalAddress, family: Family) -> Option<LocalAddress> {
        let mut control = Control::<SEND_BYTES>([0xff; SEND_BYTES]);
        let length = control.write_source(from, family);
        read(&control.0[..length]).to
    }

    #[test]
    fn control_source_round_trips() {
        assert_eq!(
            written(local("127.0.0.2", 1), Family::V4),
            Some(local("127.0.0.2", 0))
        );
        assert_eq!(
            written(local("127.0.0.2", 1), Family::V6),
            Some(local("127.0.0.2", 0))
        );
        assert_eq!(
            written(local("2001:db8::1", 2), Family::V6),
            Some(local("2001:db8::1", 0))
        );
        assert_eq!(
            written(local("fe80::1", 2), Family::V6),
            Some(local("fe80::1", 2))
        );
        assert_eq!(
            written(local("ff02::1", 2), Family::V6),
            Some(local("::", 2))
        );
        assert_eq!(written(local("127.0.0.2", 1), Family::Unix), None);
    }

    #[test]
    fn control_matches_the_layout_of_libc() {
        let mut control = Control::<SEND_BYTES>::EMPTY;
        let first = control.write_source(local("::1", 0), Family::V6);
        let end = control.write_segment(first, 1200);
        // SAFETY: the macros only calculate.
        let (space, both) = unsafe {
            (
                libc::CMSG_SPACE(20),
                libc::CMSG_SPACE(20) + libc::CMSG_SPACE(2),
            )
        };
        assert_eq!((first, end), (space as usize, both as usize));
        assert!(end <= SEND_BYTES);
        // SAFETY: the macro only calculates.
        let received =
            unsafe { 2 * libc::CMSG_SPACE(4) + libc::CMSG_SPACE(20) + libc::CMSG_SPACE(12) };
        assert!(received as usize <= RECEIVE_BYTES);
    }

    #[test]
    fn control_skips_malformed_bytes() {
        let whole = {
            let mut control = Control::<RECEIVE_BYTES>::EMPTY;
            let next = control.append(0, libc::SOL_UDP, libc::UDP_GRO, &1200_i32.to_ne_bytes());
            let end = control.append(
                next,
                libc::SOL_SOCKET,
                libc::SO_RXQ_OVFL,
                &9_u32.to_ne_bytes(),
            );
            control.0[..end].to_vec()
        };
        assert_eq!(
            read(&whole),
            Ancillary {
                to: None,
                segment: 1200,
                drops: Some(9)
            }
        );
        for cut in 0..whole.len() {
            let ancillary = read(&whole[..cut]);
            assert!(ancillary.segment == 0 || ancillary.segment == 1200);
        }
        assert_eq!(read(&[0; 64]), Ancillary::default());
        assert_eq!(read(&[0xff; 64]), Ancillary::default());
    }
}
