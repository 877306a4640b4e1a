//! Which listeners get in each other's way: `[::]` takes IPv4 too, an address for every interface covers each single
//! one, and a path or a passed socket is there once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::checked::Findings;
use crate::listener::{ListenAddress, Listener};
use crate::node::Place;
use crate::service::Service;

impl ListenAddress {
    /// Whether one open socket does for both: the same address; mode and group of a path can be changed in place.
    pub fn same_socket(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unix(one), Self::Unix(two)) | (Self::Unixgram(one), Self::Unixgram(two)) => {
                one.path == two.path
            }
            _ => self == other,
        }
    }

    /// Whether the two cannot be bound at one time. Port 0 gets in nobody's way.
    pub fn overlaps(&self, other: &Self) -> bool {
        let mut taken = Taken::default();
        taken.add(self, ());
        taken.add(other, ()).is_some()
    }
}

/// Reports each listener that cannot be bound because of one before it.
pub(crate) fn conflicts(services: &[(Service, Place)], found: &mut Findings) {
    let mut taken = Taken::default();
    for listener in services.iter().flat_map(|(service, _)| &service.listeners) {
        if let Some(earlier) = taken.add(&listener.address, listener) {
            conflict(listener, earlier, found);
        }
    }
}

fn conflict(listener: &Listener, earlier: &Listener, found: &mut Findings) {
    let message = match &listener.address {
        ListenAddress::Inherited { .. } => format!(
            "{} is one socket, and taken at {}",
            listener.address, earlier.place
        ),
        address => format!(
            "{address} cannot be bound beside {} at {}",
            earlier.address, earlier.place
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
    found.error(&listener.place, message, help);
}

/// What is bound already, each with what its owner wants to know it by.
struct Taken<'a, T> {
    tcp: HashMap<u16, Port<T>>,
    udp: HashMap<u16, Port<T>>,
    paths: HashMap<&'a Path, T>,
    names: HashMap<&'a str, T>,
}

impl<T> Default for Taken<'_, T> {
    fn default() -> Self {
        Self {
            tcp: HashMap::new(),
            udp: HashMap::new(),
            paths: HashMap::new(),
            names: HashMap::new(),
        }
    }
}

impl<'a, T: Copy> Taken<'a, T> {
    /// Adds an address; gives the one that is in its way.
    fn add(&mut self, address: &'a ListenAddress, what: T) -> Option<T> {
        match address {
            ListenAddress::Tcp(at) => self.tcp.entry(at.port()).or_default().add(at, what),
            ListenAddress::Udp(at) => self.udp.entry(at.port()).or_default().add(at, what),
            ListenAddress::Unix(at) | ListenAddress::Unixgram(at) => {
                first(&mut self.paths, at.path.as_path(), what)
            }
            ListenAddress::Inherited { name } => first(&mut self.names, name.as_str(), what),
        }
    }
}

/// Notes who came first; gives the one before.
fn first<K: Eq + std::hash::Hash + Copy, T: Copy>(
    known: &mut HashMap<K, T>,
    key: K,
    what: T,
) -> Option<T> {
    let earlier = known.get(&key).copied();
    known.entry(key).or_insert(what);
    earlier
}

/// What is bound to one port of one protocol.
struct Port<T> {
    exact: HashMap<(IpAddr, u32), T>,
    first: Option<T>,
    first_v4: Option<T>,
    every_v4: Option<T>,
    every: Option<T>,
}

impl<T> Default for Port<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            first: None,
            first_v4: None,
            every_v4: None,
            every: None,
        }
    }
}

impl<T: Copy> Port<T> {
    /// Adds an address; gives the one that is in its way.
    fn add(&mut self, at: &SocketAddr, what: T) -> Option<T> {
        if at.port() == 0 {
            return None;
        }
        let ip = at.ip().to_canonical();
        let scope = if let SocketAddr::V6(at) = at {
            at.scope_id()
        } else {
            0
        };
        let (every, every_v4) = (ip == Ipv6Addr::UNSPECIFIED, ip == Ipv4Addr::UNSPECIFIED);
        let earlier = first(&mut self.exact, (ip, scope), what).or(match ip {
            _ if every => self.first,
            _ if every_v4 => self.every.or(self.first_v4),
            IpAddr::V4(_) => self.every.or(self.every_v4),
            IpAddr::V6(_) => self.every,
        });
        self.first.get_or_insert(what);
        if ip.is_ipv4() {
            self.first_v4.get_or_insert(what);
        }
        if every_v4 {
            self.every_v4.get_or_insert(what);
        }
        if every {
            self.every.get_or_insert(what);
        }
        earlier
    }
}
