//! The line between two processes of a hand-over.

use std::io;
use std::os::unix::net::UnixStream as Connected;

use tokio::net::UnixStream;

use crate::control::upgrade::messages::Message;

/// Bytes of the longest line; who says more says nothing that is understood.
const LINE_BYTES_MAX: usize = 16 << 10;

/// One end.
#[derive(Debug)]
pub(super) struct Channel {
    stream: UnixStream,
    heard: Vec<u8>,
}

impl Channel {
    /// To be called within a runtime.
    pub(super) fn new(end: Connected) -> io::Result<Self> {
        end.set_nonblocking(true)?;
        Ok(Self {
            stream: UnixStream::from_std(end)?,
            heard: Vec::new(),
        })
    }

    /// The process at the other end, as the kernel knows it from when the line was made.
    pub(super) fn peer(&self) -> Option<u32> {
        let pid = self.stream.peer_cred().ok()?.pid()?;
        u32::try_from(pid).ok()
    }

    /// Waits for the next word; `None` when the other process has gone. Nothing is lost when the wait is broken off.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(word) = self.take_line() {
                return Some(word);
            }
            self.stream.readable().await.ok()?;
            if !self.read() {
                return None;
            }
        }
    }

    /// Has the other process gone? Words that wait are kept.
    pub(super) fn is_over(&mut self) -> bool {
        !self.read()
    }

    /// Takes what has arrived; says whether more can come.
    fn read(&mut self) -> bool {
        let mut buffer = [0; 1024];
        match self.stream.try_read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.heard.extend(buffer.iter().take(count));
                self.heard.len() <= LINE_BYTES_MAX
            }
            Err(error) => matches!(
                error.kind(),
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
            ),
        }
    }

    fn take_line(&mut self) -> Option<Message> {
        let end = self.heard.iter().position(|byte| *byte == b'\n')?;
        let line: Vec<u8> = self.heard.drain(..=end).collect();
        let text = String::from_utf8_lossy(&line);
        Some(Message::read(text.trim_end_matches('\n')))
    }

    /// Says a word. It fails when the other process has gone.
    pub(super) async fn send(&self, word: &Message) -> io::Result<()> {
        let line = format!("{word}\n");
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
        let (one, other) = Connected::pair().unwrap();
        (Channel::new(one).unwrap(), Channel::new(other).unwrap())
    }

    #[tokio::test]
    async fn words_arrive_in_order_and_then_the_end() {
        let (mut one, other) = pair();
        assert_eq!(one.peer(), Some(std::process::id()));
        other.send(&Message::Loaded).await.unwrap();
        other
            .send(&Message::Failed("x".repeat(5000)))
            .await
            .unwrap();
        assert!(!one.is_over());
        assert_eq!(one.receive().await, Some(Message::Loaded));
        assert_eq!(one.receive().await, Some(Message::Failed("x".repeat(5000))));
        drop(other);
        assert!(one.is_over());
        assert_eq!(one.receive().await, None);
        assert!(one.send(&Message::Serve).await.is_err());
    }

    #[tokio::test]
    async fn who_says_too_much_is_not_listened_to() {
        let (mut one, other) = pair();
        let chatter = async {
            // It fails once nobody listens.
            other
                .send(&Message::Unknown("y".repeat(1 << 20)))
                .await
                .unwrap_err();
        };
        let listener = async {
            assert_eq!(one.receive().await, None);
            drop(one);
        };
        tokio::join!(chatter, listener);
    }
}
