//! Exit codes of `polyportctl`; those past 2 are those of sysexits.h.

use std::process::ExitCode;

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// What was asked for is so.
    Good,
    /// The change failed, or was refused.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// The daemon cannot be reached, or does not answer.
    Unavailable,
    /// What the daemon says is not understood, or the output cannot be written.
    Trouble,
}

impl Exit {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 69,
            Self::Trouble => 74,
        }
    }

    /// For `main`.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}
