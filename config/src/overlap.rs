//! Conflicts between listeners: `[::]` takes IPv4 too, a wildcard address covers all others, and a path or a passed
//! socket exists once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::listener::{ListenAddress, Listener};
use crate::node::Position;
use crate::service::Service;
use crate::table::Findings;

impl ListenAddress {
    /// Whether one open socket serves both: the same address; mode and group of a path can be changed in place.
    pub fn same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(two)) | (Self::Unixgram(one), Self::Unixgram(two)) => {
                one.path == two.path
            }
            _ => self == other,
        }
    }

    /// Whether both cannot be bound at the same time. Port 0 has no conflicts.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut in_use = AddressesInUse::default();
        in_use.add(self, 0);
        in_use.add(other, 1).is_some()
    }
}

/// Reports each listener that conflicts with an earlier one.
pub(crate) fn conflicts(services: &[(Service, Position)], found: &mut Findings) {
    let listeners = services.iter().flat_map(|(service, _)| &service.listeners);
    let listeners: Vec<&Listener> = listeners.collect();
    let mut in_use = AddressesInUse::default();
    for (number, listener) in listeners.iter().enumerate() {
        let earlier = in_use.add(&listener.address, number);
        if let Some(earlier) = earlier.and_then(|number| listeners.get(number)) {
            conflict(listener, earlier, found);
        }
    }
}

fn conflict(listener: &Listener, earlier: &Listener, found: &mut Findings) {
    let message = match &listener.address {
        ListenAddress::Inherited { .. } => format!(
            "{} is one socket, and taken at {}",
            listener.address, earlier.position
        ),
        address => format!(
            "{address} cannot be bound beside {} at {}",
            earlier.address, earlier.position
        ),
    };
    let is_dual = |listener: &Listener| match listener.address {
        ListenAddress::Tcp(at) | ListenAddress::Udp(at) => at.ip() == Ipv6Addr::UNSPECIFIED,
        _ => false,
    };
    let is_path = matches!(
        listener.address,
        ListenAddress::Unix(_) | ListenAddress::Unixgram(_)
    );
    let help = if is_path || listener.address == earlier.address {
        "take one of the two out"
    } else if is_dual(listener) || is_dual(earlier) {
        "[::] takes IPv4 too: take the other one out, or name specific addresses in both"
    } else {
        "one address covers the other: take one of the two out"
    };
    found.error(&listener.position, message, help);
}

/// Addresses in use, each with the number of its owner.
#[derive(Default)]
struct AddressesInUse<'a> {
    tcp: HashMap<u16, Port>,
    udp: HashMap<u16, Port>,
    paths: HashMap<&'a Path, usize>,
    names: HashMap<&'a str, usize>,
}

impl<'a> AddressesInUse<'a> {
    /// Adds an address; returns the conflicting owner, if any.
    fn add(&mut self, address: &'a ListenAddress, owner: usize) -> Option<usize> {
        match address {
            ListenAddress::Tcp(at) => self.tcp.entry(at.port()).or_default().add(at, owner),
            ListenAddress::Udp(at) => self.udp.entry(at.port()).or_default().add(at, owner),
            ListenAddress::Unix(at) | ListenAddress::Unixgram(at) => {
                first(&mut self.paths, at.path.as_path(), owner)
            }
            ListenAddress::Inherited { name } => first(&mut self.names, name.as_str(), owner),
        }
    }
}

/// Stores the first owner of a key; returns the owner before this call.
fn first<K: Eq + std::hash::Hash + Copy>(
    known: &mut HashMap<K, usize>,
    key: K,
    owner: usize,
) -> Option<usize> {
    let earlier = known.get(&key).copied();
    known.entry(key).or_insert(owner);
    earlier
}

/// Owners of one port of one protocol.
#[derive(Default)]
struct Port {
    exact: HashMap<(IpAddr, u32), usize>,
    first: Option<usize>,
    first_v4: Option<usize>,
    wildcard_v4: Option<usize>,
    wildcard: Option<usize>,
}

impl Port {
    /// Adds an address; returns the conflicting owner, if any.
    fn add(&mut self, at: &SocketAddr, owner: usize) -> Option<usize> {
        if at.port() == 0 {
            return None;
        }
        let ip = at.ip().to_canonical();
        let scope = if let SocketAddr::V6(at) = at {
            at.scope_id()
        } else {
            0
        };
        let (wildcard, wildcard_v4) = (ip == Ipv6Addr::UNSPECIFIED, ip == Ipv4Addr::UNSPECIFIED);
        let earlier = first(&mut self.exact, (ip, scope), owner).or(match ip {
            _ if wildcard => self.first,
            _ if wildcard_v4 => self.wildcard.or(self.first_v4),
            IpAddr::V4(_) => self.wildcard.or(self.wildcard_v4),
            IpAddr::V6(_) => self.wildcard,
        });
        self.first.get_or_insert(owner);
        if ip.is_ipv4() {
            self.first_v4.get_or_insert(owner);
        }
        if wildcard_v4 {
            self.wildcard_v4.get_or_insert(owner);
        }
        if wildcard {
            self.wildcard.get_or_insert(owner);
        }
        earlier
    }
}
