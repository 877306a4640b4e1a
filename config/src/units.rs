//! Durations and sizes as an operator writes them: `30s`, `1m30s`, `64KiB`.

use std::time::Duration;

/// The maximum duration: ten years, so that adding it to a clock cannot overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Why a text is no valid duration or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitError {
    /// The problem, worded to follow the quoted text: `has no unit`.
    pub message: String,
    /// What to write instead.
    pub help: String,
}

/// The units of a duration in milliseconds, the longest first.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// The units of a size in bytes, the largest first.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a duration: whole numbers with the units d, h, m, s, ms, from the longest to the shortest.
///
/// # Errors
/// When a number or a unit is missing or unknown, units are out of order, or it is past
/// [`DURATION_MAX`].
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    let wrong = |message: &str| UnitError {
        message: message.to_owned(),
        help: "write 30s, 500ms, 5m, 24h, 1d or 1m30s".to_owned(),
    };
    let mut rest = text;
    let mut millis: u64 = 0;
    let mut shortest = u64::MAX;
    loop {
        let (number, after_number) = leading(rest, |c| c.is_ascii_digit());
        let (unit, after_unit) = leading(after_number, |c| !c.is_ascii_digit());
        if number.is_empty() {
            return Err(wrong("is no duration"));
        }
        if unit.is_empty() {
            return Err(UnitError {
                help: format!("write {text}s for seconds, or {text}ms, {text}m, {text}h"),
                ..wrong("has no unit")
            });
        }
        let Some((_, factor)) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit) else {
            return Err(wrong("has an unknown unit"));
        };
        if factor >= shortest {
            return Err(wrong("has its units out of order"));
        }
        shortest = factor;
        millis = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor)?.checked_add(millis))
            .filter(|total| Duration::from_millis(*total) <= DURATION_MAX)
            .ok_or_else(|| UnitError {
                help: "write at most 3650d".to_owned(),
                ..wrong("is too long")
            })?;
        rest = after_unit;
        if rest.is_empty() {
            return Ok(Duration::from_millis(millis));
        }
    }
}

/// Formats a duration for [`duration`]; fractions of a millisecond are dropped.
pub fn duration_text(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut out = String::new();
    for (unit, factor) in DURATION_UNITS {
        if left >= factor {
            out.push_str(&format!("{}{unit}", left / factor));
            left %= factor;
        }
    }
    if out.is_empty() { "0s".to_owned() } else { out }
}

/// Reads a size in bytes: a whole number, alone or with B, KiB, MiB, GiB, TiB (powers of 1024) or
/// KB, MB, GB, TB (powers of 1000).
///
/// # Errors
/// When the text is invalid, or above 64 bits.
pub fn size(text: &str) -> Result<u64, UnitError> {
    let wrong = |message: &str| UnitError {
        message: message.to_owned(),
        help: "write 64KiB, 1MiB, 2GiB, 500KB or a number of bytes".to_owned(),
    };
    let (number, unit) = leading(text, |c| c.is_ascii_digit());
    if number.is_empty() {
        return Err(wrong("is no size"));
    }
    let known = SIZE_UNITS
        .into_iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, factor)| factor);
    let factor = match known {
        Some(factor) => factor,
        None if unit.is_empty() => 1,
        None => return Err(wrong("has an unknown unit")),
    };
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor));
    bytes.ok_or_else(|| wrong("is too large"))
}

/// Formats a size for [`size`], in the largest unit of 1024 that divides it.
pub fn size_text(bytes: u64) -> String {
    let whole = SIZE_UNITS
        .into_iter()
        .filter(|(unit, _)| unit.ends_with("iB"))
        .find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    match whole {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

/// Splits off the longest prefix whose characters satisfy a test.
fn leading(text: &str, test: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !test(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_parsed() {
        let millis = |text: &str| duration(text).map(|d| d.as_millis()).map_err(|e| e.message);
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("5m"), Ok(300_000));
        assert_eq!(millis("24h"), Ok(86_400_000));
        assert_eq!(millis("1d"), Ok(86_400_000));
        assert_eq!(millis("1m30s"), Ok(90_000));
        assert_eq!(millis("0s"), Ok(0));
        for (text, message) in [
            ("", "is no duration"),
            ("s", "is no duration"),
            ("-5s", "is no duration"),
            ("30", "has no unit"),
            ("1m30", "has no unit"),
            ("30sec", "has an unknown unit"),
            ("1.5s", "has an unknown unit"),
            ("30 s", "has an unknown unit"),
            ("30S", "has an unknown unit"),
            ("30s1m", "has its units out of order"),
            ("1s1s", "has its units out of order"),
            ("99999999999999999999s", "is too long"),
            ("3651d", "is too long"),
        ] {
            assert_eq!(millis(text), Err(message.to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_parsed() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1MiB"), Ok(1 << 20));
        assert_eq!(size("2KB"), Ok(2_000));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(size("7B"), Ok(7));
        for text in ["", "KiB", "64k", "64 KiB", "-1", "1.5MiB", "20000000TiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in 0..=3650u64 * 86_400_000) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&duration_text(value)), Ok(value));
        }

        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(size(&size_text(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in "\\PC*") {
            prop_assert!(duration(&text).is_ok() || duration(&text).is_err());
            prop_assert!(size(&text).is_ok() || size(&text).is_err());
        }
    }
}
