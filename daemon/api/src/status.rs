//! Listings: what the daemon is and has now.

use serde::{Deserialize, Serialize};

use crate::outcome::{Outcome, Verdict};

/// The daemon as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the daemon.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// What it does now.
    pub state: State,
    /// For how long it has run, seconds.
    pub uptime_seconds: u64,
    /// The configuration's main file.
    pub config: String,
    /// Streams and flows that live.
    pub streams: u64,
    /// Data-plane threads.
    pub workers: u32,
    /// Changes that were begun, by how they ended.
    #[serde(default)]
    pub changes: Changes,
    /// How the last change ended; the start is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_change: Option<LastChange>,
    /// The last one that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<LastChange>,
    /// Seconds left to confirm the last reload, after which it is undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
    /// What operators took out of service by hand; the next reload brings it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drained: Vec<String>,
    /// What the operator should look at, each in one sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What the daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It does not serve yet.
    Starting,
    /// It serves.
    Ready,
    /// It serves, and a change is under way.
    Reloading,
    /// It ends.
    Draining,
}

/// Changes that were begun, by how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Changes {
    /// In force, or were until the next.
    pub applied: u64,
    /// There was nothing to change.
    pub unchanged: u64,
    /// Failed and undone.
    pub failed: u64,
    /// Generations that were withdrawn by the daemon itself.
    pub rolled_back: u64,
}

/// How a change ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastChange {
    /// Its number.
    pub id: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// In one sentence.
    pub reason: String,
    /// Who asked: `start`, `SIGHUP`, `uid 0`, `rollback`, `no confirmation`.
    pub asked_by: String,
    /// How long ago it ended, seconds.
    pub seconds_ago: u64,
}

impl LastChange {
    /// From how it ended.
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
    /// In the order of their names.
    pub services: Vec<Service>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The instance behind it.
    pub instance: String,
    /// The plugin of that.
    pub plugin: String,
    /// The generation that new streams go to.
    pub generation: u64,
    /// Streams that count against its limit.
    pub streams: u64,
    /// Most streams that it may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams_max: Option<u64>,
    /// Its sockets.
    pub listeners: Vec<Listener>,
}

/// A socket of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// With a port of 0 resolved.
    pub address: String,
    /// `bound`, `inherited`.
    pub origin: String,
    /// Receive buffer that the kernel granted, bytes; of datagram sockets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<u64>,
    /// Datagrams that the kernel dropped because that was full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped_by_kernel: Option<u64>,
}

/// All plugins, with every generation that is in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plugins {
    /// In the order of loading.
    pub generations: Vec<Generation>,
}

/// One loaded copy of a plugin's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its number; never used twice.
    pub number: u64,
    /// Short name of the plugin.
    pub plugin: String,
    /// The plugin's id.
    pub id: String,
    /// The plugin's own version.
    pub version: String,
    /// Where the file was.
    pub path: String,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// What it is now.
    pub state: GenerationState,
    /// Why it is that.
    #[serde(default)]
    pub reason: String,
    /// Bytes of address space that it takes for good.
    pub mapped_bytes: u64,
    /// Its instances that live.
    #[serde(default)]
    pub instances: Vec<Instance>,
}

/// What a generation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GenerationState {
    /// New streams go to it.
    Serving,
    /// It still has streams; new ones go to another.
    Leaving,
    /// Nothing runs in it, and a rollback would take it.
    Standby,
    /// Nothing runs in it any more; its code stays mapped.
    Retired,
    /// It was withdrawn: its panics or its health were too bad.
    Withdrawn,
}

/// An instance that lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// The handler.
    pub handler: String,
    /// New streams go to it.
    pub serving: bool,
    /// Its streams and flows.
    #[serde(default)]
    pub streams: u64,
    /// Is it healthy, by its own word? `None`: it was not asked yet, or cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Callbacks of it that panicked.
    #[serde(default)]
    pub panics: u64,
}
