//! What the data side serves from now on: made by control, immutable, the same for all workers. A worker compares a
//! snapshot with what it has, so only the newest counts.
//!
//! A listener closes when the last `Arc` of it is dropped. Control drops its own before it sends a snapshot without the
//! listener: connections that arrive after the last worker has emptied the accept queue would be reset.

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
    /// Instances that leave.
    pub leaving: Vec<Leaving>,
}

/// An instance that serves no new streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its index.
    pub instance: u32,
    /// When the drain of its streams and flows ends; `None`: they end by themselves.
    pub until: Option<Instant>,
}
