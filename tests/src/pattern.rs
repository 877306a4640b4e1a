//! A pattern of bytes known to both sides: `download.c` sends it and its readers check it.

/// The byte at a position of every download.
#[must_use]
pub fn byte(position: u64) -> u8 {
    let mixed = position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    mixed.to_le_bytes()[0]
}

/// Checks bytes as they come.
#[derive(Debug, Default)]
pub struct Checker {
    /// Number of bytes so far.
    pub position: u64,
    /// The first wrong position.
    pub wrong: Option<u64>,
}

impl Checker {
    /// Compares the next bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        for &found in bytes {
            if found != byte(self.position) {
                self.wrong.get_or_insert(self.position);
            }
            self.position += 1;
        }
    }

    /// Returns whether exactly the first `length` bytes of the pattern came.
    #[must_use]
    pub fn is_whole(&self, length: u64) -> bool {
        self.wrong.is_none() && self.position == length
    }
}
