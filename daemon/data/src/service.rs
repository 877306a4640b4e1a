//! A service and its timeouts, for the data side: immutable, made by control.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use polyport_host::hook_thread::HookThread;
use polyport_host::instance::Instance;

use super::admit::Permits;
use polyport_common::wait_group::Token;

/// A named service.
#[derive(Debug)]
pub struct Service {
    /// Name in the configuration; empty for dials of an instance itself.
    pub name: String,
    /// The instance that answers.
    pub instance: Arc<Instance>,
    /// The thread that notifies the instance of failed dials of its own.
    pub hook_thread: Arc<HookThread>,
    /// Its timeouts.
    pub timeouts: Timeouts,
    /// The limits on streams: of the daemon and of the service.
    pub permits: Arc<Permits>,
    /// How long its streams may drain when it is removed.
    pub grace: Duration,
    /// Streams and flows of its instance that live, shared by all services of the instance.
    pub live: Arc<AtomicU64>,
    /// Held as long as a stream, socket or flow of this service may call the instance.
    pub in_use: Token,
}

impl Service {
    /// A stream or flow of its instance has begun.
    pub(super) fn began(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream or flow that had begun is gone.
    pub(super) fn ended(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Timeouts; `None` is never.
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
