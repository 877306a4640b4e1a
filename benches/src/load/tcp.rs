//! Round trips over open streams: each stream has one message on its way.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Aim;
use super::payload::Payload;
use super::poll::{Poll, Ready};
use crate::meter::{Outcome, Turn};

/// Streams that are opened before one of them must have been served, so that the queue of the
/// listener does not overflow.
const UNSERVED: u32 = 64;

/// Everything that is measured with open streams begins like this.
#[derive(Debug)]
pub(crate) struct Round {
    payload: Payload,
    buffer: Vec<u8>,
    bytes: usize,
    streams: Vec<Stream>,
}

/// One stream and the state of its message.
#[derive(Debug)]
pub(crate) struct Stream {
    socket: TcpStream,
    id: u32,
    sequence: u32,
    sent: usize,
    received: usize,
}

pub(crate) fn run(aim: &Aim, streams: u32, bytes: usize) -> Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut round = Round::open(aim, streams, bytes)?;
    for (index, stream) in round.streams.iter().enumerate() {
        stream.socket.set_nonblocking(true)?;
        poll.watch(&stream.socket, index)?;
    }
    let mut window = aim.window()?;
    let mut operations = 0;
    for stream in &mut round.streams {
        stream.send(&mut round.payload)?;
    }
    loop {
        for ready in poll.look()? {
            operations += u64::from(round.step(ready)?);
        }
        if let Turn::Done(outcome) = window.turn(operations)? {
            round.finish(&mut poll)?;
            return Ok(outcome);
        }
    }
}

impl Round {
    /// Connects all streams, and has each echo once.
    pub(crate) fn open(aim: &Aim, count: u32, bytes: usize) -> Result<Self> {
        let mut round = Self {
            payload: Payload::new(bytes),
            buffer: vec![0; bytes.max(64 * 1024)],
            bytes,
            streams: Vec::new(),
        };
        for id in 0..count {
            let socket = aim.connect()?;
            socket.set_read_timeout(Some(super::CONNECT_WITHIN))?;
            round.streams.push(Stream {
                socket,
                id,
                sequence: 0,
                sent: 0,
                received: 0,
            });
            if id % UNSERVED == UNSERVED - 1 {
                round.echo_once(id)?;
            }
        }
        for id in (0..count).filter(|id| id % UNSERVED != UNSERVED - 1) {
            round.echo_once(id)?;
        }
        Ok(round)
    }

    /// The open streams, for a load that does its own sending.
    pub(crate) fn into_sockets(self) -> impl Iterator<Item = TcpStream> {
        self.streams.into_iter().map(|stream| stream.socket)
    }

    /// One round trip with blocking calls.
    fn echo_once(&mut self, id: u32) -> Result<()> {
        let stream = self
            .streams
            .get_mut(id as usize)
            .context("no such stream")?;
        stream.send(&mut self.payload)?;
        while !stream.receive(&self.payload, &mut self.buffer, self.bytes)? {}
        Ok(())
    }

    /// Waits for the messages that are still on their way: a server that forgot a stream had an
    /// easier load than the others.
    fn finish(&mut self, poll: &mut Poll) -> Result<()> {
        let until = Instant::now() + super::CONNECT_WITHIN;
        let mut waiting: Vec<&mut Stream> = self.streams.iter_mut().collect();
        while !waiting.is_empty() {
            let mut left = Vec::new();
            for stream in waiting {
                if stream.sent < self.bytes {
                    stream.send(&mut self.payload)?;
                }
                if !stream.receive(&self.payload, &mut self.buffer, self.bytes)? {
                    left.push(stream);
                }
            }
            waiting = left;
            ensure!(
                Instant::now() < until,
                "{} streams got no echo",
                waiting.len()
            );
            poll.rest()?;
        }
        Ok(())
    }

    /// Carries one stream on; true when its message came back and the next one is on its way.
    fn step(&mut self, ready: Ready) -> Result<bool> {
        let stream = self
            .streams
            .get_mut(ready.index)
            .context("no such stream")?;
        if ready.writable && stream.sent < self.bytes {
            stream.send(&mut self.payload)?;
        }
        if !ready.readable || !stream.receive(&self.payload, &mut self.buffer, self.bytes)? {
            return Ok(false);
        }
        stream.send(&mut self.payload)?;
        Ok(true)
    }
}

impl Stream {
    /// Sends what the socket takes of the current message.
    fn send(&mut self, payload: &mut Payload) -> Result<()> {
        let message = payload.message(self.id, self.sequence);
        while let Some(rest) = message.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match (&self.socket).write(rest) {
                Ok(length) => self.sent += length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(fault).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what is there; true when the message is complete, and the next one is current.
    fn receive(&mut self, payload: &Payload, buffer: &mut [u8], bytes: usize) -> Result<bool> {
        while self.received < bytes {
            let length = match (&self.socket).read(buffer) {
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(fault) => return Err(fault).context("cannot receive"),
            };
            ensure!(length > 0, "the server closed stream {}", self.id);
            ensure!(
                self.received + length <= self.sent,
                "more came back than was sent"
            );
            let part = buffer.get(..length).unwrap_or_default();
            payload.check((self.id, self.sequence), self.received, part)?;
            self.received += length;
        }
        self.sequence = self.sequence.wrapping_add(1);
        (self.sent, self.received) = (0, 0);
        Ok(true)
    }
}
