//! What the operator may say.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::proto::DATAGRAM_MAX;

/// Configuration of the handler `chargen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Config {
    /// A datagram is answered by at most so many times its own bytes.
    #[schemars(range(max = 512))]
    pub(crate) amplification_max: usize,
    /// Answer no datagram that comes from a port below 1024.
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
    /// Beyond this the bound would bound nothing.
    pub(crate) const AMPLIFICATION_MAX: usize = DATAGRAM_MAX;
}
