//! The `daemon:` section: threads, directories and the deadlines of the process as a whole.

use std::path::PathBuf;
use std::time::Duration;

/// The process as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// How many data-plane threads there are.
    pub workers: Workers,
    /// Where plugins are looked for; the first match wins.
    pub plugin_path: Vec<PathBuf>,
    /// Where instances may keep state; `None` when neither the file nor `$STATE_DIRECTORY` names one.
    pub state_directory: Option<PathBuf>,
    /// How long streams may take to end by themselves.
    pub drain_timeout: Duration,
    /// How long each hook of a plugin may take.
    pub hook_timeout: Duration,
    /// How long the whole stop may take; never shorter than `drain_timeout`.
    pub stop_timeout: Duration,
    /// What the process may hold at most.
    pub limits: DaemonLimits,
}

/// How many data-plane threads there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for each core.
    Auto,
    /// This many, 1 to 256.
    Count(usize),
}

/// What the process may hold at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonLimits {
    /// Streams open at one time, of all services together.
    pub streams: u64,
}
