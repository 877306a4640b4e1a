//! What the data side serves from now on: made by control, immutable, the same for all workers. A worker compares it
//! with what it has, so only the newest matters.
//!
//! A listener closes when the last who has its `Arc` lets go. Who makes a snapshot without it lets go before the swap:
//! connections that come after the last worker has left would be reset.

use std::sync::Arc;
use std::time::Instant;

use super::listen::{DatagramListener, Listener};
use super::service::Service;

/// See the module's text.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up, for the log.
    pub number: u64,
    /// Every service that serves; names are unique.
    pub services: Vec<Arc<Service>>,
    /// Stream sockets, for all workers.
    pub listeners: Vec<(Arc<Listener>, Arc<Service>)>,
    /// Datagram sockets; a worker takes those with its number.
    pub sockets: Vec<(Arc<DatagramListener>, Arc<Service>)>,
    /// Instances whose last streams are to end.
    pub leaving: Vec<Leaving>,
}

/// An instance that serves no new streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its index.
    pub instance: u32,
    /// Its streams and flows drain until then; `None`: they finish when they like.
    pub until: Option<Instant>,
}
