//! Lines in the daemon's log. A disabled level costs one load: nothing is formatted.
//!
//! ```
//! # fn show(stream: &polyport_sdk::Stream<'_>, port: u16) {
//! use polyport_sdk::log;
//! log::warn!(stream, "refused a datagram from port {port}");
//! log::debug!(stream, "greeted"; port = port, state = "new");
//! # }
//! ```

use std::fmt::{self, Write as _};

use polyport_abi::{PP_LOG_DEBUG, PP_LOG_ERROR, PP_LOG_INFO, PP_LOG_WARN, PpId, PpKv};

use crate::host;
use crate::ids::Target;
use crate::raw::lend;

#[doc(inline)]
pub use crate::{__debug as debug, __error as error, __info as info, __warn as warn};

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The operator must act.
    Error,
    /// The operator may want to act.
    Warn,
    /// A state of the plugin.
    Info,
    /// For the author.
    Debug,
}

impl Level {
    /// Whether this level is written. `[any]`
    #[must_use]
    #[inline]
    pub fn enabled(self) -> bool {
        self.number() <= host::log_level()
    }

    const fn number(self) -> u32 {
        match self {
            Self::Error => PP_LOG_ERROR,
            Self::Warn => PP_LOG_WARN,
            Self::Info => PP_LOG_INFO,
            Self::Debug => PP_LOG_DEBUG,
        }
    }
}

/// Writes a line about `who` at any level; the macros check [`Level::enabled`] first. `[any]`
pub fn write(
    who: &dyn Target,
    level: Level,
    line: fmt::Arguments<'_>,
    pairs: &[(&str, &dyn fmt::Display)],
) {
    write_raw(who.raw_id(), level, line, pairs);
}

/// The same with a raw id; 0 is the plugin as a whole.
pub(crate) fn write_raw(
    who: PpId,
    level: Level,
    line: fmt::Arguments<'_>,
    pairs: &[(&str, &dyn fmt::Display)],
) {
    let line = text(line);
    let values: Vec<String> = pairs
        .iter()
        .map(|(_, value)| text(format_args!("{value}")))
        .collect();
    let pairs: Vec<PpKv> = pairs
        .iter()
        .zip(&values)
        .map(|((key, _), value)| PpKv {
            key: lend(key.as_bytes()),
            value: lend(value.as_bytes()),
        })
        .collect();
    let line = lend(line.as_bytes());
    // SAFETY: `log` may be called from any thread; the arguments live until it returns.
    unsafe {
        (host::host().log)(
            who,
            level.number(),
            &raw const line,
            pairs.as_ptr(),
            pairs.len(),
        );
    }
}

/// Formats a line; after an error of `Display` the text is incomplete.
fn text(line: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    if text.write_fmt(line).is_err() {
        text.push_str(" (cut)");
    }
    text
}

/// Implements the four macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __log {
    (
        $level:ident, $who:expr, $line:literal $(, $arg:expr)*
        $(; $($key:ident = $value:expr),+)? $(,)?
    ) => {
        if $crate::log::Level::$level.enabled() {
            $crate::log::write(
                &$who,
                $crate::log::Level::$level,
                ::core::format_args!($line $(, $arg)*),
                &[$($((::core::stringify!($key), &$value)),+)?],
            );
        }
    };
}

/// Logs a problem that the operator must act on: `error!(who, "text {}", value; key = value)`.
/// `[any]`
#[doc(hidden)]
#[macro_export]
macro_rules! __error { ($($line:tt)*) => { $crate::__log!(Error, $($line)*) }; }

/// Logs a problem that the operator may want to act on: `warn!(who, "text {}", value; key =
/// value)`. `[any]`
#[doc(hidden)]
#[macro_export]
macro_rules! __warn { ($($line:tt)*) => { $crate::__log!(Warn, $($line)*) }; }

/// Logs a state of the plugin: `info!(who, "text {}", value; key = value)`. `[any]`
#[doc(hidden)]
#[macro_export]
macro_rules! __info { ($($line:tt)*) => { $crate::__log!(Info, $($line)*) }; }

/// Logs details for the author: `debug!(who, "text {}", value; key = value)`. `[any]`
#[doc(hidden)]
#[macro_export]
macro_rules! __debug { ($($line:tt)*) => { $crate::__log!(Debug, $($line)*) }; }
