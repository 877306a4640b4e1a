//! Names of instances, services, handlers and plugins.

use crate::faults::quoted;
use crate::node::Position;
use crate::table::Findings;

/// Whether a text is a valid name of an instance, a service, a handler or a plugin.
pub fn is_name(text: &str) -> bool {
    let ordinary = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(ordinary)
        && text.bytes().all(|c| ordinary(c) || c == b'-' || c == b'_')
}

/// Records an invalid name; returns whether the name is valid.
pub(crate) fn check_name(text: &str, position: &Position, found: &mut Findings) -> bool {
    let fits = is_name(text);
    if !fits {
        let message = format!("{} is no name", quoted(text));
        let help = "names are lower-case letters, digits, `-` and `_`, begin with a letter or a \
                    digit, and have at most 63 characters";
        found.error(position, message, help);
    }
    fits
}
