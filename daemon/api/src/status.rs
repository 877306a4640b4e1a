//! Listings of the daemon's present state.

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Verdict};

/// The status of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// Its state.
    pub state: State,
    /// Uptime in seconds.
    pub uptime_seconds: u64,
    /// The configuration's main file.
    pub config: String,
    /// Open streams and flows.
    pub streams: u64,
    /// Data-plane threads.
    pub workers: u32,
    /// Numbers of changes by their outcome.
    #[serde(default)]
    pub changes: Changes,
    /// The last change; the start counts as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<LastChange>,
    /// The last failed change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastChange>,
    /// Seconds left to confirm the last reload before it is rolled back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
    /// Services and instances that operators drained; the next reload restores them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<String>,
    /// Warnings to the operator, one sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The state of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Does not serve yet.
    Starting,
    /// Serves.
    Ready,
    /// Serves, and a change is in progress.
    Reloading,
    /// Shuts down.
    Draining,
}

/// Numbers of changes by their outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// Applied.
    pub applied: u64,
    /// Nothing to change.
    pub unchanged: u64,
    /// Failed and rolled back.
    pub failed: u64,
    /// Generations that the daemon withdrew by itself.
    pub rolled_back: u64,
}

/// A finished change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// Its number.
    pub id: u64,
    /// Its verdict.
    pub verdict: Verdict,
    /// The reason in one sentence.
    pub reason: String,
    /// Its origin: `start`, `SIGHUP`, `uid 0`, `rollback`, `no confirmation`.
    pub asked_by: String,
    /// Seconds since its end.
    pub seconds_ago: u64,
}

impl LastChange {
    /// From its outcome.
    #[must_use]
    pub fn new(outcome: &Outcome, asked_by: &str, seconds_ago: u64) -> Self {
        Self {
            id: outcome.id,
            verdict: outcome.verdict,
            reason: outcome.reason.clone(),
            asked_by: asked_by.to_owned(),
            seconds_ago,
        }
    }
}

/// All services.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Services {
    /// Sorted by name.
    pub services: Vec<Service>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its instance.
    pub instance: String,
    /// The plugin of the instance.
    pub plugin: String,
    /// The generation that gets new streams.
    pub generation: u64,
    /// The streams that count towards its limit.
    pub streams: u64,
    /// Its limit of streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_max: Option<u64>,
    /// Its sockets.
    pub listeners: Vec<Listener>,
}

/// A socket of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The address, port 0 resolved.
    pub address: String,
    /// `bound`, `inherited`.
    pub origin: String,
    /// The granted receive buffer in bytes; datagram sockets only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<u64>,
    /// Datagrams that the kernel dropped because the buffer was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_by_kernel: Option<u64>,
}

/// All plugins, with every generation in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    /// In load order.
    pub generations: Vec<Generation>,
}

/// One loaded copy of a plugin's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number; never reused.
    pub number: u64,
    /// Short name of the plugin.
    pub plugin: String,
    /// The plugin's id.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// The path of its file.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// Its state.
    pub state: GenerationState,
    /// The reason of its state.
    #[serde(default)]
    pub reason: String,
    /// Bytes of address space that it occupies for good.
    pub mapped_bytes: u64,
    /// Its running instances.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// The state of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// Gets new streams.
    Serving,
    /// Still has streams; new ones go to another generation.
    Leaving,
    /// Unused, and the target of a rollback.
    Standby,
    /// Unused; its code stays mapped.
    Retired,
    /// Withdrawn because of panics or failed health checks.
    Withdrawn,
}

/// A running instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The handler.
    pub handler: String,
    /// Gets new streams.
    pub serving: bool,
    /// Its open streams and flows.
    #[serde(default)]
    pub streams: u64,
    /// Result of its health check; `None`: not checked yet, or the handler has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// The number of its callbacks that panicked.
    #[serde(default)]
    pub panics: u64,
}
