//! Messages of a saturating load, and their comparison with the answers. The first eight bytes
//! hold the stream and the sequence number of a message; the number shifts the pattern behind them.

use anyhow::{Context as _, Result, ensure};

/// Stream and sequence number.
const HEADER_BYTES: usize = 8;
/// Messages up to this size are compared whole.
const SMALL_BYTES: usize = 256;
/// Of larger messages one in this many is.
const SAMPLE: u32 = 16;
const SHIFTS: u32 = 251;

/// Messages of one size.
#[derive(Debug)]
pub(super) struct Payload {
    pattern: Vec<u8>,
    message: Vec<u8>,
}

impl Payload {
    /// Messages of `bytes` bytes, at least a header.
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes.max(HEADER_BYTES);
        let length = bytes + SHIFTS as usize;
        let pattern = (0..length).map(scramble).collect();
        Self {
            pattern,
            message: vec![0; bytes],
        }
    }

    /// The size of a message.
    pub(super) fn bytes(&self) -> usize {
        self.message.len()
    }

    /// The message `sequence` of `sender`.
    pub(super) fn message(&mut self, sender: u32, sequence: u32) -> &[u8] {
        let shift = (sequence % SHIFTS) as usize;
        for (byte, pattern) in self.message.iter_mut().zip(self.pattern.iter().skip(shift)) {
            *byte = *pattern;
        }
        for (byte, head) in self.message.iter_mut().zip(header(sender, sequence)) {
            *byte = head;
        }
        &self.message
    }

    /// Compares a part of an echo that begins `offset` bytes into the message.
    pub(super) fn check(&self, id: (u32, u32), offset: usize, part: &[u8]) -> Result<()> {
        let (sender, sequence) = id;
        let header = header(sender, sequence);
        let head = header.get(offset..).unwrap_or_default();
        let head_right = head.iter().zip(part).all(|(sent, came)| sent == came);
        ensure!(
            head_right,
            "message {sequence} of stream {sender} came back as another"
        );
        let whole = self.message.len() <= SMALL_BYTES || sequence.is_multiple_of(SAMPLE);
        if !whole {
            return Ok(());
        }
        let body = part.get(head.len()..).unwrap_or_default();
        let from = (sequence % SHIFTS) as usize + offset.max(HEADER_BYTES);
        let sent = self.pattern.get(from..from + body.len());
        ensure!(
            sent == Some(body),
            "message {sequence} of stream {sender} came back changed"
        );
        Ok(())
    }

    /// Compares a whole datagram of `sender`; its number is read from its header.
    pub(super) fn check_datagram(&self, sender: u32, sent: u32, datagram: &[u8]) -> Result<()> {
        ensure!(
            datagram.len() == self.message.len(),
            "an echo of {} bytes",
            datagram.len()
        );
        let number = datagram
            .get(4..HEADER_BYTES)
            .context("an echo without header")?;
        let sequence = u32::from_le_bytes(number.try_into()?);
        ensure!(
            sequence < sent,
            "an echo of datagram {sequence}, which was never sent"
        );
        self.check((sender, sequence), 0, datagram)
    }
}

fn header(sender: u32, sequence: u32) -> [u8; HEADER_BYTES] {
    (u64::from(sequence) << 32 | u64::from(sender)).to_le_bytes()
}

/// A byte that depends on all of the position, so that a shifted or repeated echo differs.
fn scramble(position: usize) -> u8 {
    let [byte, ..] = (position as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .to_be_bytes();
    byte
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_echo_passes_in_any_parts() {
        let mut payload = Payload::new(64);
        let message = payload.message(3, 9).to_vec();
        for cut in 0..message.len() {
            payload.check((3, 9), 0, &message[..cut]).unwrap();
            payload.check((3, 9), cut, &message[cut..]).unwrap();
        }
        payload.check_datagram(3, 10, &message).unwrap();
    }

    #[test]
    fn a_wrong_echo_is_found() {
        let mut payload = Payload::new(64);
        let message = payload.message(3, 9).to_vec();
        assert!(payload.check((3, 10), 0, &message).is_err(), "stale");
        assert!(
            payload.check((4, 9), 0, &message).is_err(),
            "of another stream"
        );
        assert!(
            payload.check_datagram(3, 9, &message).is_err(),
            "never sent"
        );
        assert!(
            payload.check_datagram(3, 10, &message[..60]).is_err(),
            "short"
        );
        for place in 0..message.len() {
            let mut bent = message.clone();
            bent[place] ^= 1;
            assert!(payload.check((3, 9), 0, &bent).is_err(), "byte {place}");
        }
    }
}
