//! The `services:` section: listeners, limits and timeouts, and the instance that answers.

use std::time::Duration;

use crate::listener::Listener;
use crate::node::Place;

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
}
