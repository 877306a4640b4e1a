//! Exit codes of `polyportctl`; those above 2 are of sysexits.h.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The request succeeded.
    Success,
    /// The change failed, or was refused.
    Failed,
    /// The command line is invalid.
    Usage,
    /// The daemon is unreachable or does not respond.
    Unavailable,
    /// The response is malformed, or the output cannot be written.
    Io,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Io => 74,
        }
    }

    /// For `main`.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}
