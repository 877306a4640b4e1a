//! Outcomes: how a change ended.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// How a reload, a rollback, a confirmation or a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Counts changes that were begun, from 1, the start; 0 for what did not begin one.
    #[serde(default)]
    pub id: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// In one sentence, for people: why it failed, or what was done.
    #[serde(default)]
    pub reason: String,
    /// All faults of a configuration that cannot be used; warnings too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultLine>,
    /// What was, or would be, changed; there unless the configuration cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// How long it took, milliseconds.
    #[serde(default)]
    pub milliseconds: u64,
    /// Goes back after so many seconds, unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is in force.
    Applied,
    /// There was nothing to change.
    Unchanged,
    /// Only planned: nothing was changed.
    Planned,
    /// It failed and was undone; what served before serves.
    Failed,
    /// It was not begun: the daemon starts, drains or stops, or there is nothing to go back to or to confirm.
    Refused,
}

impl Verdict {
    /// Is what was asked for in force?
    #[must_use]
    pub fn is_good(self) -> bool {
        matches!(self, Self::Applied | Self::Unchanged | Self::Planned)
    }

    /// The word, as in JSON.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Planned => "planned",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// One fault of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultLine {
    /// False for a warning.
    pub error: bool,
    /// `file:line:column`; empty when it has none.
    #[serde(default)]
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default)]
    pub help: String,
}

/// How a drain of a service or an instance stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// How taking it out of service ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Streams and flows that it had still when this was answered.
    #[serde(default)]
    pub streams: u64,
}
