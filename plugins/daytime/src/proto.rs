//! The line format that RFC 867 suggests: `Friday, November 20, 2026 13:00:00-UTC`.

const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The line for a time in seconds since 1970.
pub(crate) fn line(unix_seconds: u64) -> String {
    let (days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let (year, month, day) = civil(days);
    let name = |names: &[&'static str], i: u64| {
        usize::try_from(i)
            .ok()
            .and_then(|i| names.get(i).copied())
            .unwrap_or_default()
    };
    // 1 January 1970 was a Thursday.
    let (weekday, month) = (name(&WEEKDAYS, days % 7), name(&MONTHS, month - 1));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday}, {month} {day}, {year} {hour:02}:{minute:02}:{second:02}-UTC\r\n")
}

/// Year, month and day of a day number since 1 January 1970, by the Gregorian calendar. (Years are
/// counted from March here, so that a leap day is the last day. The calendar repeats every 400
/// years.)
const fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_OF_400_YEARS: u64 = 146_097;
    // From 1 March of the year 0 to 1 January 1970.
    let days = days + 719_468;
    let era = days / DAYS_OF_400_YEARS;
    let day_of_era = days % DAYS_OF_400_YEARS;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daytime_formats_known_times() {
        assert_eq!(line(0), "Thursday, January 1, 1970 00:00:00-UTC\r\n");
        assert_eq!(
            line(1_795_179_600),
            "Friday, November 20, 2026 13:00:00-UTC\r\n"
        );
        assert_eq!(
            line(951_782_399),
            "Monday, February 28, 2000 23:59:59-UTC\r\n"
        );
        assert_eq!(
            line(951_782_400),
            "Tuesday, February 29, 2000 00:00:00-UTC\r\n"
        );
        assert_eq!(
            line(4_107_542_400),
            "Monday, March 1, 2100 00:00:00-UTC\r\n"
        );
        assert_eq!(
            line(2_147_483_648),
            "Tuesday, January 19, 2038 03:14:08-UTC\r\n"
        );
    }

    /// Compares each day of 800 years with a simple count.
    #[test]
    fn daytime_knows_every_day_of_800_years() {
        let mut day = 0;
        for year in 1970..2770 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if leap { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for date in 1..=length {
                    assert_eq!(civil(day), (year, month, date));
                    day += 1;
                }
            }
        }
    }
}
