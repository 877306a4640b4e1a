//! A service and its timeouts, as a stream sees them: immutable. Control makes them; the data side only reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use polyport_host::hook_thread::HookThread;
use polyport_host::instance::Instance;

use super::admit::Permits;
use polyport_common::wait_group::Token;

/// A named service, as a stream sees it.
#[derive(Debug)]
pub struct Service {
    /// Name in the configuration; empty for what an instance dials on its own.
    pub name: String,
    /// Who handles it.
    pub instance: Arc<Instance>,
    /// Who tells the instance of failed dials of its own.
    pub hook_thread: Arc<HookThread>,
    /// When to give up waiting.
    pub timeouts: Timeouts,
    /// Room for streams: of the daemon and of the service.
    pub permits: Arc<Permits>,
    /// How long its streams may drain when it is removed.
    pub grace: Duration,
    /// Streams and flows of its instance that live, shared by all services of the instance.
    pub live: Arc<AtomicU64>,
    /// Of its instance: out for as long as anything here may still call it.
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
