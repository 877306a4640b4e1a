//! Control lines: their grammar and their reader.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;

/// A line is refused when it is longer.
const LINE_MAX: usize = 4096;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A swap to this generation begins.
    Announce(u64),
    /// It is complete.
    Generation(u64),
    /// A new phase.
    Mark(String),
    /// Say when everything has been answered once.
    Ready,
    /// The end.
    Stop,
}

/// Where control lines come from.
#[derive(Debug)]
pub struct Control<'a> {
    input: BorrowedFd<'a>,
    rest: Vec<u8>,
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) lines: Vec<String>,
    pub(crate) is_closed: bool,
}

impl<'a> Control<'a> {
    /// Reads from this descriptor when it has something: a pipe, a socket, a terminal.
    pub fn new(input: &'a impl AsFd) -> Self {
        Self {
            input: input.as_fd(),
            rest: Vec::new(),
        }
    }

    pub(crate) fn input(&self) -> BorrowedFd<'a> {
        self.input
    }

    /// Reads once, and gives the lines that are complete. To be called when there is something, as
    /// it may wait.
    pub(crate) fn read(&mut self) -> io::Result<Read> {
        let mut buffer = [0; LINE_MAX];
        let length = match nix::unistd::read(self.input, &mut buffer) {
            Ok(length) => length,
            Err(Errno::EINTR | Errno::EAGAIN) => return Ok(Read::default()),
            Err(fault) => return Err(fault.into()),
        };
        self.rest.extend(buffer.iter().take(length));
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            lines.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        // The last line may lack its end, and a line may be endless.
        if !self.rest.is_empty() && (length == 0 || self.rest.len() > LINE_MAX) {
            let line = std::mem::take(&mut self.rest);
            lines.push(String::from_utf8_lossy(&line).trim().to_owned());
        }
        Ok(Read {
            lines,
            is_closed: length == 0,
        })
    }
}

impl Order {
    /// Reads a line.
    ///
    /// # Errors
    /// Says what is wanted.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let rest = rest.trim();
        let generation = || {
            let number = rest.parse();
            number.map_err(|_| format!("{word} wants the number of a generation"))
        };
        match word {
            "announce" => Ok(Self::Announce(generation()?)),
            "generation" | "expect" => Ok(Self::Generation(generation()?)),
            "mark" if rest.is_empty() => Err("mark wants a name".to_owned()),
            "mark" => Ok(Self::Mark(rest.to_owned())),
            "ready" if rest.is_empty() => Ok(Self::Ready),
            "stop" if rest.is_empty() => Ok(Self::Stop),
            _ => Err("announce N, generation N, mark NAME, ready or stop is wanted".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn orders_are_read() {
        for (line, order) in [
            ("announce 2", Order::Announce(2)),
            ("generation 7", Order::Generation(7)),
            ("expect  7", Order::Generation(7)),
            (
                "mark after the reload",
                Order::Mark("after the reload".to_owned()),
            ),
            ("ready", Order::Ready),
            ("stop", Order::Stop),
        ] {
            assert_eq!(Order::parse(line), Ok(order), "{line}");
        }
        for line in [
            "",
            "generation",
            "generation x",
            "expect -1",
            "mark",
            "stop now",
            "go",
        ] {
            assert!(Order::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn lines_come_in_pieces() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut control = Control::new(&reader);
        writer.write_all(b"mark a\nsto").unwrap();
        let read = control.read().unwrap();
        assert_eq!(
            (read.lines, read.is_closed),
            (vec!["mark a".to_owned()], false)
        );
        writer.write_all(b"p").unwrap();
        assert_eq!(control.read().unwrap(), Read::default());
        drop(writer);
        let read = control.read().unwrap();
        assert_eq!(
            (read.lines, read.is_closed),
            (vec!["stop".to_owned()], true)
        );
    }
}
