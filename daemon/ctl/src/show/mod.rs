//! Responses as text for people.

mod status;
mod services;
mod plugins;
mod plan;
mod outcome;

pub use outcome::{drained, errors, outcome};
pub use plugins::plugins;
pub use services::services;
pub use status::status;

/// `3d 4h`, `5m 10s`, `7s`: the two largest units.
fn span(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, size) in units {
        let count = left / size;
        left %= size;
        // Only adjacent units: `1d`, not `1d 5s`.
        if count == 0 && !parts.is_empty() {
            break;
        }
        if count > 0 {
            parts.push(format!("{count}{unit}"));
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

/// `1 stream`, `2 streams`.
fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// `208.0 KiB`: rounded down to a tenth of the largest unit.
fn bytes(number: u64) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = units.into_iter().find(|(_, size)| number >= *size);
    match unit {
        Some((unit, size)) => format!("{}.{} {unit}", number / size, number % size * 10 / size),
        None => format!("{number} B"),
    }
}

#[cfg(test)]
mod tests;
