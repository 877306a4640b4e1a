//! Errors in both directions: a [`Status`] of the ABI, and an [`Error`] with a reason.

use std::borrow::Cow;
use std::fmt;

use polyport_abi as abi;

/// The result of a fallible call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error code of the ABI: one of the `PP_E_*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(abi::PpStatus);

impl Status {
    /// The id is stale, foreign or of the wrong kind.
    pub const GONE: Self = Self(abi::PP_E_GONE);
    /// An argument is out of its range.
    pub const INVAL: Self = Self(abi::PP_E_INVAL);
    /// A bound is reached; nothing was accepted.
    pub const FULL: Self = Self(abi::PP_E_FULL);
    /// Called from a context that does not allow it.
    pub const CONTEXT: Self = Self(abi::PP_E_CONTEXT);
    /// Not supported by this host or this kind of object.
    pub const UNSUPPORTED: Self = Self(abi::PP_E_UNSUPPORTED);
    /// The operator's policy or the system forbids it.
    pub const DENIED: Self = Self(abi::PP_E_DENIED);
    /// The object or its instance is ending: stop your threads.
    pub const CLOSING: Self = Self(abi::PP_E_CLOSING);
    /// A panic was caught.
    pub const PANIC: Self = Self(abi::PP_E_PANIC);
    /// Failed; the reason was reported or logged.
    pub const FAIL: Self = Self(abi::PP_E_FAIL);
    /// A deadline of the host passed.
    pub const TIMEOUT: Self = Self(abi::PP_E_TIMEOUT);
    /// The peer refused the connection.
    pub const REFUSED: Self = Self(abi::PP_E_REFUSED);
    /// There is no route to the peer.
    pub const UNREACHABLE: Self = Self(abi::PP_E_UNREACHABLE);

    /// The number in the ABI.
    #[must_use]
    pub const fn code(self) -> i32 {
        self.0
    }

    /// Splits a code of the host: below 0 an error, else the remark.
    pub(crate) const fn split(code: abi::PpStatus) -> Result<i32, Self> {
        if code < 0 { Err(Self(code)) } else { Ok(code) }
    }

    /// The error of a function that returns a count.
    pub(crate) fn from_i64(code: i64) -> Self {
        abi::PpStatus::try_from(code).map_or(Self::FAIL, Self::refusal)
    }

    /// The reason that the host gives; a code that is no error becomes `FAIL`.
    pub(crate) const fn refusal(code: abi::PpStatus) -> Self {
        if code < 0 { Self(code) } else { Self::FAIL }
    }

    const fn text(self) -> &'static str {
        match self.0 {
            abi::PP_E_GONE => "it is gone",
            abi::PP_E_INVAL => "an argument is out of its range",
            abi::PP_E_FULL => "a bound is reached",
            abi::PP_E_CONTEXT => "not allowed here",
            abi::PP_E_UNSUPPORTED => "not supported",
            abi::PP_E_DENIED => "forbidden",
            abi::PP_E_CLOSING => "it is ending",
            abi::PP_E_PANIC => "panicked",
            abi::PP_E_TIMEOUT => "too late",
            abi::PP_E_REFUSED => "the peer refused",
            abi::PP_E_UNREACHABLE => "no way to the peer",
            _ => "failed",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// An error with a reason. Made from a text it is [`Status::FAIL`], and the text is logged or
/// reported.
#[derive(Clone, Debug)]
pub struct Error {
    status: Status,
    message: Cow<'static, str>,
}

impl Error {
    /// A failure with its reason.
    #[must_use]
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: Status::FAIL,
            message: message.into(),
        }
    }

    /// The same reason with another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The reason, if there is more than the status.
    pub(crate) fn message(&self) -> Option<&str> {
        (!self.message.is_empty()).then_some(&*self.message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message().unwrap_or(self.status.text()))
    }
}

impl std::error::Error for Error {}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self {
            status,
            message: Cow::Borrowed(""),
        }
    }
}

impl From<&'static str> for Error {
    fn from(message: &'static str) -> Self {
        Self::new(message)
    }
}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<fmt::Error> for Error {
    fn from(error: fmt::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// Converts a code of the host into a result, without remarks.
pub(crate) fn done(code: abi::PpStatus) -> Result<()> {
    Status::split(code)?;
    Ok(())
}
