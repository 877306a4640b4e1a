//! Exit codes of `polyportctl`; those above 2 are of sysexits.h.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The request succeeded.
    Success = 0,
    /// The change failed, or was refused.
    Failed = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The daemon is unreachable or does not respond.
    Unavailable = 69,
    /// The response is malformed, or the output cannot be written.
    Io = 74,
}

impl Exit {
    /// For `main`.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
