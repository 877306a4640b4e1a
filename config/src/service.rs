//! The `services:` section: listeners, limits, timeouts and the instance.

use std::time::Duration;

use crate::daemon::Daemon;
use crate::listener::{self, Listener};
use crate::node::{Kind, Node, Position};
use crate::reference;
use crate::table::{Findings, Table, named};

/// A service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name under `services:`.
    pub name: String,
    /// Its listeners in file order; at least one.
    pub listeners: Vec<Listener>,
    /// Its instance; always one of [`Config::instances`](crate::Config::instances).
    pub handler: String,
    /// Its limits.
    pub limits: ServiceLimits,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// The position of its name.
    pub position: Position,
}

/// Limits of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceLimits {
    /// Open streams; `None`: the daemon's limit alone.
    pub streams: Option<u64>,
}

/// Timeouts of the streams of a service. `None` is written `off`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first byte of the peer.
    pub first_byte: Option<Duration>,
    /// Time without a byte in either direction.
    pub idle: Option<Duration>,
    /// Time without progress of a write to the peer; always `Some`.
    pub write: Option<Duration>,
    /// From accept to the end.
    pub lifetime: Option<Duration>,
    /// How long streams may take to end when the service or their listener is removed; `None`: the daemon's value.
    /// See [`Service::grace`].
    pub drain: Option<Duration>,
}

impl Service {
    /// How long its streams may take to end when it or their listener is removed.
    pub fn grace(&self, daemon: &Daemon) -> Duration {
        self.timeouts.drain.unwrap_or(daemon.drain_timeout)
    }
}

/// Reads the section. Each service comes with the position of its handler.
pub(crate) fn check(node: Option<&Node>, found: &mut Findings) -> Vec<(Service, Position)> {
    let mut services = Vec::new();
    for (key, node) in named("services", node, found) {
        let path = format!("services.{}", key.name);
        let table = Table::open(node, &reference::SERVICE, path, found);
        let listeners = listeners(&table, found);
        let limits = table.table("limits", &reference::SERVICE_LIMITS, found);
        let streams = limits.count("streams", found);
        let timeouts = timeouts(&table, found);
        let Some((handler, position)) = table.name("handler", found) else {
            continue;
        };
        let service = Service {
            name: key.name.clone(),
            listeners,
            handler: handler.to_owned(),
            limits: ServiceLimits { streams },
            timeouts,
            position: key.position.clone(),
        };
        services.push((service, position.clone()));
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
        found.error(&node.position, "`listen` is an empty list".to_owned(), help);
    }
    let mut listeners = Vec::new();
    for (url, position) in urls {
        match listener::parse(url) {
            Ok(address) => listeners.push(Listener {
                address,
                position: position.clone(),
            }),
            Err(error) => found.error(position, error.message, error.help),
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
