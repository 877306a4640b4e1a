//! The number of RFC 868: seconds since the beginning of 1900, in 32 bits, big-endian.

/// Seconds from 1900 to 1970, as given by the RFC.
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

/// The reply for a time in seconds since 1970. "This base will serve until the year 2036": then the
/// number wraps to 0, and a client must know its era.
pub(crate) const fn answer(unix_seconds: u64) -> [u8; 4] {
    let [.., a, b, c, d] = unix_seconds
        .wrapping_add(SECONDS_1900_TO_1970)
        .to_be_bytes();
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_matches_the_examples_of_the_rfc() {
        // "the time 2,208,988,800 corresponds to 00:00 1 Jan 1970 GMT, [...] 2,629,584,000 to 00:00
        // 1 May 1983"
        assert_eq!(answer(0), 2_208_988_800_u32.to_be_bytes());
        assert_eq!(answer(420_595_200), 2_629_584_000_u32.to_be_bytes());
    }

    #[test]
    fn time_wraps_in_2036() {
        let last = u64::from(u32::MAX) - SECONDS_1900_TO_1970;
        assert_eq!(answer(last), [0xff; 4]);
        assert_eq!(answer(last + 1), [0; 4]);
    }
}
