//! How the process ends.

use std::process::ExitCode;

/// The exit codes; sysexits where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Asked to stop, and everything ended in order.
    Clean,
    /// A fault of the daemon or of the system under it.
    Internal,
    /// The command line makes no sense.
    Usage,
    /// The grace period ran out, or a second signal came.
    Forced,
    /// A hook of a plugin failed or overran its deadline.
    Hook,
    /// A socket could not be bound.
    Bind,
    /// The configuration, or a plugin that it names, cannot be used.
    Config,
}

impl Exit {
    /// As a number.
    pub fn number(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Forced => 70,
            Self::Hook => 71,
            Self::Bind => 73,
            Self::Config => 78,
        }
    }

    /// As `main` returns it.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}
