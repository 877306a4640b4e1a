//! The configuration.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::proto::DATAGRAM_MAX;

/// Configuration of the handler `chargen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// The maximum length of a reply as a multiple of the datagram's.
    #[schemars(range(max = 512))]
    pub(crate) amplification_max: usize,
    /// Reply to no datagram from a port below 1024.
    pub(crate) refuse_privileged_source_ports: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            amplification_max: 3,
            refuse_privileged_source_ports: false,
        }
    }
}

impl Config {
    /// A larger bound would have no effect.
    pub(crate) const AMPLIFICATION_MAX: usize = DATAGRAM_MAX;
}
