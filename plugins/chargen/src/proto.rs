//! The text of RFC 864: lines of 72 of the 95 printable characters, each line rotated by one more.

/// Printable characters of ASCII, the space included.
const RING: usize = 95;
/// The characters of a line.
const LINE: usize = 72;
/// The length of a line with CR and LF.
const WIDTH: usize = LINE + 2;
/// The maximum number of lines of one write, small compared to any watermark.
const PIECE_LINES: usize = 16;
/// "a random number (between 0 and 512) of characters"
pub(crate) const DATAGRAM_MAX: usize = 512;

/// All lines; after the last one the first follows again.
static LINES: [u8; RING * WIDTH] = lines();

#[expect(
    clippy::indexing_slicing,
    reason = "runs while compiling, where `get` cannot"
)]
#[expect(clippy::cast_possible_truncation, reason = "characters are below 127")]
const fn lines() -> [u8; RING * WIDTH] {
    let mut lines = [0; RING * WIDTH];
    let mut at = 0;
    while at < lines.len() {
        let (line, column) = (at / WIDTH, at % WIDTH);
        lines[at] = match column {
            LINE => b'\r',
            _ if column > LINE => b'\n',
            _ => b' ' + ((line + column) % RING) as u8,
        };
        at += 1;
    }
    lines
}

/// The position of a stream in the endless text.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// The next line.
    line: usize,
}

impl Text {
    /// The text from this line on, if the line exists.
    pub(crate) fn at(line: usize) -> Option<Self> {
        (line < RING).then_some(Self { line })
    }

    /// The number of the next line.
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// The next complete lines.
    pub(crate) fn piece(&self) -> &'static [u8] {
        let end = (self.line + PIECE_LINES).min(RING);
        LINES
            .get(self.line * WIDTH..end * WIDTH)
            .unwrap_or_default()
    }

    /// Moves on after the host accepted the lines.
    pub(crate) fn advance(&mut self) {
        let end = self.line + PIECE_LINES;
        self.line = if end < RING { end } else { 0 };
    }
}

/// Random numbers, not secret: splitmix64.
#[derive(Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number from 0 to `max`.
    pub(crate) fn up_to(&mut self, max: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z).unwrap_or(usize::MAX) % (max.saturating_add(1).max(1))
    }
}

/// The reply to a datagram of `request_bytes` bytes: of random length, at most `amplification_max` times as
/// long.
pub(crate) fn datagram(
    request_bytes: usize,
    amplification_max: usize,
    random: &mut Random,
) -> &'static [u8] {
    let most = request_bytes
        .saturating_mul(amplification_max)
        .min(DATAGRAM_MAX);
    let (line, len) = (random.up_to(RING - 1), random.up_to(most));
    let start = (line * WIDTH).min(LINES.len() - DATAGRAM_MAX);
    LINES.get(start..start + len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_rotates_through_all_characters() {
        let (mut text, mut out) = (Text::default(), Vec::new());
        while out.len() < 2 * LINES.len() {
            assert!(text.piece().len() <= PIECE_LINES * WIDTH);
            out.extend_from_slice(text.piece());
            text.advance();
        }
        let lines: Vec<&[u8]> = out.chunks(WIDTH).collect();
        let first =
            br##" !"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\]^_`abcdefg"##;
        assert_eq!(lines[0], [&first[..], b"\r\n"].concat());
        assert_eq!(lines[RING], lines[0]);
        for pair in lines.windows(2) {
            assert!(pair[1].ends_with(b"\r\n") && pair[1].len() == WIDTH);
            assert_eq!(pair[0][1..LINE], pair[1][..LINE - 1]);
        }
        assert_eq!((lines[1][LINE - 1], lines[94][0]), (b'h', b'~'));
    }

    #[test]
    fn reply_is_bounded_by_the_request() {
        let mut random = Random(7);
        let mut longest = 0;
        for _ in 0..10_000 {
            assert_eq!(datagram(0, 3, &mut random), b"");
            assert!(datagram(20, 3, &mut random).len() <= 60);
            longest = longest.max(datagram(9000, 3, &mut random).len());
            assert_eq!(datagram(9000, 0, &mut random), b"");
        }
        assert_eq!(longest, DATAGRAM_MAX);
    }
}
