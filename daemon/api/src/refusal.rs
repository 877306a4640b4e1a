//! Refusals: why nothing came of a request.

use serde::{Deserialize, Serialize};

/// The body of every answer whose status is no success, but those with an [`crate::Outcome`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// In one sentence, for people.
    pub error: String,
    /// What would have done instead: paths, or names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
}
