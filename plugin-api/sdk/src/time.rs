//! Points in time of the host's clock. For wall-clock time use `std::time::SystemTime`.

use std::time::Duration;

use polyport_abi::PpNanos;

use crate::host::host;

/// A point in time of the monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(PpNanos);

impl Moment {
    /// Now; inside an `[io]` callback the time of the loop turn, which costs no system call.
    /// `[any]`
    #[must_use]
    pub fn now() -> Self {
        // SAFETY: `now` takes nothing and may be called from any thread.
        Self(unsafe { (host().now)() })
    }

    /// The time until this moment; zero if it has passed. `[any]`
    #[must_use]
    pub fn left(self) -> Duration {
        self.since(Self::now())
    }

    /// The time since `earlier`; zero if this is not after it. `[any]`
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Converts the host's number.
    pub(crate) const fn from_nanos(nanos: PpNanos) -> Self {
        Self(nanos)
    }
}
