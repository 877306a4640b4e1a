//! Names of instances, services, handlers and plugins.

use crate::checked::Findings;
use crate::faults::shown;
use crate::node::Place;

/// Whether a text can be the name of an instance, a service, a handler or a plugin.
pub fn name_fits(text: &str) -> bool {
    let ordinary = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=63).contains(&text.len())
        && text.bytes().next().is_some_and(ordinary)
        && text.bytes().all(|c| ordinary(c) || c == b'-' || c == b'_')
}

/// Notes a text that is no name.
pub(crate) fn check_name(text: &str, place: &Place, found: &mut Findings) -> bool {
    let fits = name_fits(text);
    if !fits {
        let message = format!("{} is no name", shown(text));
        let help = "names are lower-case letters, digits, `-` and `_`, begin with a letter or a \
                    digit, and have at most 63 characters";
        found.error(place, message, help);
    }
    fits
}
