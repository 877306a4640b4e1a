//! A service and its timeouts, as a stream sees them: immutable. Control makes them; the data side only reads.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::instance::Instance;
use polyport_host::keeper::Keeper;

use super::admit::Permits;

/// A named service, as a stream sees it.
#[derive(Debug)]
pub struct Service {
    /// Name in the configuration; empty for what an instance dials on its own.
    pub name: String,
    /// Who handles it.
    pub instance: Arc<Instance>,
    /// Who tells the instance of failed dials of its own.
    pub keeper: Arc<Keeper>,
    /// When to give up waiting.
    pub timeouts: Timeouts,
    /// Room for streams: of the daemon and of the service.
    pub permits: Arc<Permits>,
}

/// When to give up waiting; `None` is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the accept to the first byte.
    pub first_byte: Option<Duration>,
    /// Without a byte in either direction.
    pub idle: Option<Duration>,
    /// Without the peer taking a byte of what is queued.
    pub write: Duration,
    /// From the accept to the end.
    pub lifetime: Option<Duration>,
}
