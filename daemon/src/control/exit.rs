//! How the process ends.

use std::process::ExitCode;

/// The exit codes; those of sysexits where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The daemon was stopped, and everything ended in order.
    Clean = 0,
    /// A fault of the daemon or of the system under it.
    Internal = 1,
    /// The command line is invalid.
    Usage = 2,
    /// The grace period was not enough, or a second signal came.
    Forced = 70,
    /// A hook of a plugin failed or overran its deadline.
    Hook = 71,
    /// A socket could not be bound.
    Bind = 73,
    /// The configuration, or a plugin that it names, cannot be used.
    Config = 78,
}

impl Exit {
    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// For `main` to return.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }
}
