//! Outcomes of changes.

use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// The outcome of a reload, a rollback, a confirmation or a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The number of the change, from 1, the start; 0 if none was begun.
    #[serde(default)]
    pub id: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// One sentence: the reason of a failure, or a summary of the change.
    #[serde(default)]
    pub reason: String,
    /// All faults and warnings of a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultLine>,
    /// The plan; present unless the configuration is invalid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Duration in milliseconds.
    #[serde(default)]
    pub milliseconds: u64,
    /// The change is rolled back after this time unless confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm_within_seconds: Option<u64>,
}

/// How a change ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// In force.
    Applied,
    /// Nothing to change.
    Unchanged,
    /// Only planned: nothing was changed.
    Planned,
    /// Failed and rolled back; the previous configuration serves.
    Failed,
    /// Not begun: the daemon starts, drains or stops, or there is nothing to roll back or to confirm.
    Refused,
}

impl Verdict {
    /// Whether the request succeeded.
    #[must_use]
    pub fn is_success(self) -> bool {
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
    /// `file:line:column`; may be empty.
    #[serde(default)]
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    #[serde(default)]
    pub help: String,
}

/// The state of a drain of a service or an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// The outcome of the removal from service.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Streams and flows left at the time of the response.
    #[serde(default)]
    pub streams: u64,
}
