//! Bytes that say where they belong: the byte at an offset of a connection follows from its key, so a byte that is
//! lost, doubled or out of order is seen.

use std::sync::LazyLock;

use crate::random::Random;

/// A prime, so that no shift by a round number of bytes maps the pattern to itself.
const PERIOD: usize = 65_521;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut random = Random::new(7);
    (0..PERIOD)
        .map(|_| random.next().to_le_bytes()[0])
        .collect()
});

fn pieces(key: u64, offset: u64, len: usize) -> impl Iterator<Item = &'static [u8]> {
    let first = usize::try_from(key.wrapping_add(offset) % PERIOD as u64).unwrap_or(0);
    let mut at = first;
    let mut left = len;
    std::iter::from_fn(move || {
        let count = left.min(PERIOD - at);
        let piece = PATTERN.get(at..at + count)?;
        left -= count;
        at = 0;
        (count != 0).then_some(piece)
    })
}

/// The bytes from `offset` on.
pub(crate) fn fill(key: u64, offset: u64, len: usize, into: &mut Vec<u8>) {
    pieces(key, offset, len).for_each(|piece| into.extend_from_slice(piece));
}

/// Are these the bytes from `offset` on?
pub(crate) fn fits(key: u64, offset: u64, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    pieces(key, offset, bytes.len()).all(|piece| {
        let (now, later) = rest.split_at(piece.len());
        rest = later;
        now == piece
    })
}
