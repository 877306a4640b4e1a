//! The `services:` section: listeners, limits and timeouts, and the instance that answers.

use std::time::Duration;

use crate::checked::{Findings, Table, named};
use crate::daemon::Daemon;
use crate::listener::{self, Listener};
use crate::node::{Kind, Node, Place};
use crate::reference;

/// Listeners, what guards them, and the instance that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name under `services:`.
    pub name: String,
    /// Where it listens, in the order of the file; at least one.
    pub listeners: Vec<Listener>,
    /// The instance that answers; always one of [`Config::instances`](crate::Config::instances).
    pub handler: String,
    /// What it may hold at most.
    pub limits: ServiceLimits,
    /// How long its streams may take.
    pub timeouts: Timeouts,
    /// Its name in the file.
    pub place: Place,
}

/// What a service may hold at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Streams open at one time; `None` leaves it to the limit of the daemon.
    pub streams: Option<u64>,
}

/// How long the streams of a service may take. `None` is written `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first byte of the peer.
    pub first_byte: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
    /// Without progress of a write to the peer; always `Some`.
    pub write: Option<Duration>,
    /// From accept to the end.
    pub lifetime: Option<Duration>,
    /// How long streams may take to end when the service or their listener is taken out; `None` when the file leaves it
    /// to the daemon. See [`Service::grace`].
    pub drain: Option<Duration>,
}

impl Service {
    /// How long its streams may take to end when it, or their listener, is taken out.
    pub fn grace(&self, daemon: &Daemon) -> Duration {
        self.timeouts.drain.unwrap_or(daemon.drain_timeout)
    }
}

/// Reads the section. With each service comes the place where it names its handler.
pub(crate) fn check(node: Option<&Node>, found: &mut Findings) -> Vec<(Service, Place)> {
    let mut services = Vec::new();
    for (key, node) in named("services", node, found) {
        let path = format!("services.{}", key.name);
        let table = Table::open(node, &reference::SERVICE, path, found);
        let listeners = listeners(&table, found);
        let limits = table.table("limits", &reference::SERVICE_LIMITS, found);
        let streams = limits.count("streams", found);
        let timeouts = timeouts(&table, found);
        let Some((handler, place)) = table.name("handler", found) else {
            continue;
        };
        let service = Service {
            name: key.name.clone(),
            listeners,
            handler: handler.to_owned(),
            limits: ServiceLimits { streams },
            timeouts,
            place: key.place.clone(),
        };
        services.push((service, place.clone()));
    }
    services
}

fn listeners(table: &Table<'_>, found: &mut Findings) -> Vec<Listener> {
    let Some(urls) = table.texts("listen", found) else {
        return Vec::new();
    };
    let empty = |node: &&Node| matches!(&node.kind, Kind::Seq(items) if items.is_empty());
    if let Some(node) = table.node("listen").filter(empty) {
        let help = "name at least one address, such as tcp://[::]:7007";
        found.error(&node.place, "`listen` is an empty list".to_owned(), help);
    }
    let mut listeners = Vec::new();
    for (url, place) in urls {
        match listener::parse(url) {
            Ok(address) => listeners.push(Listener {
                address,
                place: place.clone(),
            }),
            Err(error) => found.error(place, error.message, error.help),
        }
    }
    listeners
}

fn timeouts(table: &Table<'_>, found: &mut Findings) -> Timeouts {
    let timeouts = table.table("timeouts", &reference::TIMEOUTS, found);
    Timeouts {
        first_byte: timeouts.duration_or_off("first-byte", found),
        idle: timeouts.duration_or_off("idle", found),
        write: Some(timeouts.duration("write", found)),
        lifetime: timeouts.duration_or_off("lifetime", found),
        drain: timeouts.duration_if_any("drain", found),
    }
}
