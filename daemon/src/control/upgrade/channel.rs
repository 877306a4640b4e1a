//! The socket pair between the two processes of a hand-over, on which messages go line by line.

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::net::UnixStream;

use super::messages::Message;

/// Bytes of the longest line; a longer one ends the channel.
const LINE_BYTES_MAX: usize = 16 << 10;

/// One end.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
}

impl Channel {
    /// To be called within a runtime.
    pub(super) fn new(end: StdUnixStream) -> io::Result<Self> {
        end.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(end)?,
            received: Vec::new(),
        })
    }

    /// The process that made the other end, as the kernel recorded it.
    pub(super) fn peer(&self) -> Option<u32> {
        let pid = self.stream.peer_cred().ok()?.pid()?;
        u32::try_from(pid).ok()
    }

    /// Waits for the next message; `None` when the other end is closed. Cancelling the wait loses nothing.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(message) = self.take_line() {
                return Some(message);
            }
            self.stream.readable().await.ok()?;
            if !self.read() {
                return None;
            }
        }
    }

    /// Returns whether the other end is closed. Messages that have arrived are kept.
    pub(super) fn is_closed(&mut self) -> bool {
        !self.read()
    }

    /// Reads what has arrived; returns whether more can come.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend(buffer.iter().take(count));
                self.received.len() <= LINE_BYTES_MAX
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    fn take_line(&mut self) -> Option<Message> {
        let end = self.received.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.received.drain(..=end).collect();
        let text = String::from_utf8_lossy(&line);
        Some(Message::parse(text.trim_end_matches('\n')))
    }

    /// Sends a message. It fails when the other end is closed.
    pub(super) async fn send(&self, message: &Message) -> io::Result<()> {
        let line = format!("{message}\n");
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(count) => rest = rest.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (one, other) = StdUnixStream::pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[tokio::test]
    async fn channel_delivers_messages_in_order_and_then_the_end() {
        let (mut one, other) = pair();
        assert_eq!(one.peer(), Some(std::process::id()));
        other.send(&Message::Loaded).await.unwrap();
        let long = Message::Failed("x".repeat(5000));
        other.send(&long).await.unwrap();
        assert!(!one.is_closed());
        assert_eq!(one.receive().await, Some(Message::Loaded));
        assert_eq!(one.receive().await, Some(long));
        drop(other);
        assert!(one.is_closed());
        assert_eq!(one.receive().await, None);
        assert!(one.send(&Message::Serve).await.is_err());
    }

    #[tokio::test]
    async fn channel_ends_at_a_line_that_is_too_long() {
        let (mut one, other) = pair();
        let sender = async {
            // It fails once the other end is dropped.
            let endless = Message::Unknown("y".repeat(1 << 20));
            other.send(&endless).await.unwrap_err();
        };
        let receiver = async {
            assert_eq!(one.receive().await, None);
            drop(one);
        };
        tokio::join!(sender, receiver);
    }
}
