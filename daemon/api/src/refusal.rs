//! Refusals: why a request was not carried out.

use serde::{Deserialize, Serialize};

/// The body of every response that reports an error, except those with an [`crate::Outcome`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The reason in one sentence.
    pub error: String,
    /// Valid alternatives: paths, or names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known: Vec<String>,
}
