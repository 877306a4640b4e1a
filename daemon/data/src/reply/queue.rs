//! The bytes of one stream that its socket has not taken yet.

use std::io::IoSlice;

use bytes::{Buf, BytesMut};

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Queue {
    bytes: BytesMut,
}

impl Queue {
    /// Bytes that wait.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Does nothing wait?
    #[must_use]
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds all but the first `skip` bytes of some pieces.
    pub(super) fn push(&mut self, pieces: &[IoSlice<'_>], mut skip: usize) {
        for piece in pieces {
            let rest = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            self.bytes.extend_from_slice(rest);
        }
    }

    /// What to send next.
    #[must_use]
    pub(super) fn front(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes away what was sent; the last byte takes the memory along.
    pub(super) fn sent(&mut self, count: usize) {
        if count >= self.bytes.len() {
            self.bytes = BytesMut::new();
        } else {
            self.bytes.advance(count);
        }
    }

    /// Drops all.
    pub(super) fn clear(&mut self) {
        self.bytes = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_keep_their_order_and_what_was_sent_is_skipped() {
        let mut queue = Queue::default();
        queue.push(
            &[
                IoSlice::new(b"abc"),
                IoSlice::new(b""),
                IoSlice::new(b"defg"),
            ],
            4,
        );
        queue.push(&[IoSlice::new(b"hi")], 0);
        assert_eq!(queue.front(), b"efghi");
        queue.sent(2);
        assert_eq!(queue.front(), b"ghi");
        queue.sent(3);
        assert!(queue.is_empty());
        assert_eq!(queue.bytes.capacity(), 0);
    }
}
