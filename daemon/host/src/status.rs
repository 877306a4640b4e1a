//! Errors of calls in both directions: of host functions, and of callbacks and hooks.

use polyport_abi as abi;

/// The error of a host function; a plugin gets it as one of `PP_E_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// The id is stale, foreign or of the wrong kind.
    Gone,
    /// An argument is out of its range.
    Invalid,
    /// A bound is reached; nothing was taken.
    Full,
    /// The function may not be called from this context.
    Context,
    /// No such thing in this build or for this object.
    Unsupported,
    /// Policy or the system forbids it.
    Denied,
    /// The object or the daemon is ending.
    Closing,
}

impl HostError {
    /// The number that crosses the ABI.
    #[must_use]
    pub const fn status(self) -> abi::PpStatus {
        match self {
            Self::Gone => abi::PP_E_GONE,
            Self::Invalid => abi::PP_E_INVAL,
            Self::Full => abi::PP_E_FULL,
            Self::Context => abi::PP_E_CONTEXT,
            Self::Unsupported => abi::PP_E_UNSUPPORTED,
            Self::Denied => abi::PP_E_DENIED,
            Self::Closing => abi::PP_E_CLOSING,
        }
    }
}

/// Why a dial failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialFailure {
    /// The peer refused.
    Refused,
    /// There is no route to the peer.
    Unreachable,
    /// The connect timeout has passed.
    Timeout,
    /// The system has no more descriptors, ports or streams for it.
    Full,
    /// The daemon or the instance is ending.
    Closing,
    /// Any other error of the system.
    Failed,
}

impl DialFailure {
    /// The number that crosses the ABI.
    #[must_use]
    pub const fn status(self) -> abi::PpStatus {
        match self {
            Self::Refused => abi::PP_E_REFUSED,
            Self::Unreachable => abi::PP_E_UNREACHABLE,
            Self::Timeout => abi::PP_E_TIMEOUT,
            Self::Full => abi::PP_E_FULL,
            Self::Closing => abi::PP_E_CLOSING,
            Self::Failed => abi::PP_E_FAIL,
        }
    }
}

/// The error that a callback or hook returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackError(pub abi::PpStatus);

impl std::fmt::Display for CallbackError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self.0 {
            abi::PP_E_PANIC => "panicked",
            abi::PP_E_FAIL => "failed",
            abi::PP_E_INVAL => "said invalid argument",
            abi::PP_E_FULL => "said full",
            abi::PP_E_UNSUPPORTED => "said unsupported",
            abi::PP_E_DENIED => "said denied",
            other => return write!(f, "said {other}"),
        };
        f.write_str(word)
    }
}

impl std::error::Error for CallbackError {}
