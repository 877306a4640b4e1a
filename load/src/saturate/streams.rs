//! Round trips over open streams: closed loop, with one message in flight on each, or paced.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::CONNECT_TIMEOUT;
use super::payload::Payload;
use crate::poll::{Poll, Ready, Who};

/// Streams that are opened before one of them must have been served, so that the queue of the
/// listener does not overflow.
const UNSERVED: u32 = 64;
const BUFFER_BYTES: usize = 64 * 1024;
/// Messages in flight on one paced stream; more means that the server cannot hold the rate.
const DEPTH_MAX: usize = 1000;

/// Open streams, each of which has been answered once.
#[derive(Debug)]
pub struct Streams {
    payload: Payload,
    buffer: Vec<u8>,
    streams: Vec<Stream>,
    /// Of paced messages, in the order of the answers.
    latencies: Vec<Duration>,
}

/// One stream and its messages in flight.
#[derive(Debug)]
struct Stream {
    socket: TcpStream,
    id: u32,
    /// The message that is being sent or was sent last, and how much of it the socket has taken.
    sending: (u32, usize),
    /// The message that is being received, and how much of it has come.
    receiving: (u32, usize),
    in_flight_bytes: usize,
    /// When each paced message in flight was due.
    due: VecDeque<Instant>,
}

impl Streams {
    /// Connects `count` streams, and has each echo one message of `bytes` bytes.
    ///
    /// # Errors
    /// The server does not accept, or does not answer as it should.
    pub fn open(server: SocketAddr, count: u32, bytes: usize) -> Result<Self> {
        let mut open = Self {
            payload: Payload::new(bytes),
            buffer: vec![0; bytes.max(BUFFER_BYTES)],
            streams: Vec::new(),
            latencies: Vec::new(),
        };
        for id in 0..count {
            open.streams.push(Stream::connect(server, id)?);
            if id % UNSERVED == UNSERVED - 1 {
                open.echo_once(id)?;
            }
        }
        for id in (0..count).filter(|id| id % UNSERVED != UNSERVED - 1) {
            open.echo_once(id)?;
        }
        Ok(open)
    }

    /// One round trip with blocking calls.
    fn echo_once(&mut self, id: u32) -> Result<()> {
        let stream = self.streams.get_mut(id as usize);
        let stream = stream.context("no such stream")?;
        stream.send(&mut self.payload)?;
        while stream.receive(&self.payload, &mut self.buffer, &mut self.latencies)? == 0 {}
        stream.next();
        Ok(())
    }

    fn watch(&self) -> Result<Poll> {
        let poll = Poll::new()?;
        for stream in &self.streams {
            stream.socket.set_nonblocking(true)?;
            poll.watch(&stream.socket, Who::Stream(stream.id))?;
        }
        Ok(poll)
    }

    /// Closed loop: each answer is followed by the next message.
    pub(super) fn ping_pong(mut self, is_over: &mut dyn FnMut(u64) -> Result<bool>) -> Result<()> {
        let mut poll = self.watch()?;
        let mut operations = 0;
        if is_over(operations)? {
            return Ok(());
        }
        for stream in &mut self.streams {
            stream.send(&mut self.payload)?;
        }
        loop {
            for ready in poll.look()? {
                operations += self.advance(ready)?;
            }
            if is_over(operations)? {
                return self.finish();
            }
        }
    }

    /// Returns 1 when a message came back and the next one is in flight.
    fn advance(&mut self, ready: Ready) -> Result<u64> {
        let stream = self.streams.get_mut(ready.slot as usize);
        let stream = stream.context("no such stream")?;
        if ready.writable {
            stream.send(&mut self.payload)?;
        }
        if !ready.readable
            || stream.receive(&self.payload, &mut self.buffer, &mut self.latencies)? == 0
        {
            return Ok(0);
        }
        stream.next();
        stream.send(&mut self.payload)?;
        Ok(1)
    }

    /// Waits for the messages that are still in flight: a server that forgot a stream had an
    /// easier load than the others.
    fn finish(&mut self) -> Result<()> {
        let until = Instant::now() + CONNECT_TIMEOUT;
        for stream in &mut self.streams {
            stream.socket.set_nonblocking(false)?;
            stream.socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
            stream.send(&mut self.payload)?;
            while stream.in_flight_bytes > 0 {
                stream.receive(&self.payload, &mut self.buffer, &mut self.latencies)?;
                ensure!(Instant::now() < until, "stream {} got no echo", stream.id);
            }
        }
        Ok(())
    }

    /// Open loop: `rate` messages a second. The time of a message starts when it was due, so that
    /// a server that stalls pays for all that were due meanwhile.
    pub(super) fn pace(
        mut self,
        rate: f64,
        is_over: &mut dyn FnMut(u64) -> Result<bool>,
    ) -> Result<Vec<Duration>> {
        ensure!(rate >= 1.0, "a rate is needed");
        let mut poll = self.watch()?;
        let (start, mut offered, mut operations) = (Instant::now(), 0_usize, 0);
        while !is_over(operations)? {
            let due = start + Duration::from_secs_f64(offered as f64 / rate);
            if due <= Instant::now() {
                let turn = offered % self.streams.len().max(1);
                let stream = self.streams.get_mut(turn).context("no such stream")?;
                stream.send_due(&mut self.payload, due)?;
                offered += 1;
            }
            for ready in poll.look()?.into_iter().filter(|ready| ready.readable) {
                let stream = self.streams.get_mut(ready.slot as usize);
                let stream = stream.context("no such stream")?;
                operations +=
                    stream.receive(&self.payload, &mut self.buffer, &mut self.latencies)?;
            }
        }
        Ok(self.latencies)
    }
}

impl Stream {
    fn connect(server: SocketAddr, id: u32) -> Result<Self> {
        let socket = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)
            .context("the server does not accept")?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(CONNECT_TIMEOUT))?;
        Ok(Self {
            socket,
            id,
            sending: (0, 0),
            receiving: (0, 0),
            in_flight_bytes: 0,
            due: VecDeque::new(),
        })
    }

    /// Makes the next message current.
    fn next(&mut self) {
        self.sending = (self.sending.0.wrapping_add(1), 0);
    }

    /// Sends what the socket takes of the current message.
    fn send(&mut self, payload: &mut Payload) -> Result<()> {
        if self.sending.1 >= payload.bytes() {
            return Ok(());
        }
        let message = payload.message(self.id, self.sending.0);
        while let Some(rest) = message
            .get(self.sending.1..)
            .filter(|rest| !rest.is_empty())
        {
            match (&self.socket).write(rest) {
                Ok(length) => {
                    self.sending.1 += length;
                    self.in_flight_bytes += length;
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(fault).context("cannot send"),
            }
        }
        Ok(())
    }

    fn send_due(&mut self, payload: &mut Payload, due: Instant) -> Result<()> {
        ensure!(
            self.due.len() < DEPTH_MAX,
            "the server cannot hold the rate"
        );
        self.due.push_back(due);
        self.send(payload)?;
        ensure!(
            self.sending.1 == payload.bytes(),
            "the server cannot hold the rate"
        );
        self.next();
        Ok(())
    }

    /// Reads what is there; returns how many messages are complete with it.
    fn receive(
        &mut self,
        payload: &Payload,
        buffer: &mut [u8],
        latencies: &mut Vec<Duration>,
    ) -> Result<u64> {
        let mut complete = 0;
        loop {
            let length = match (&self.socket).read(buffer) {
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(complete),
                Err(fault) => return Err(fault).context("cannot receive"),
            };
            ensure!(length > 0, "the server closed stream {}", self.id);
            ensure!(
                length <= self.in_flight_bytes,
                "more came back than was sent"
            );
            self.in_flight_bytes -= length;
            complete += self.check(payload, buffer.get(..length).unwrap_or_default(), latencies)?;
            // A shorter read than asked for has emptied the socket; more raises a new edge.
            if length < buffer.len() || complete > 0 && self.in_flight_bytes == 0 {
                return Ok(complete);
            }
        }
    }

    fn check(
        &mut self,
        payload: &Payload,
        mut bytes: &[u8],
        latencies: &mut Vec<Duration>,
    ) -> Result<u64> {
        let mut complete = 0;
        while !bytes.is_empty() {
            let (sequence, received) = self.receiving;
            let missing = payload.bytes() - received;
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            payload.check((self.id, sequence), received, part)?;
            bytes = rest;
            self.receiving.1 += part.len();
            if self.receiving.1 == payload.bytes() {
                self.receiving = (sequence.wrapping_add(1), 0);
                complete += 1;
                latencies.extend(self.due.pop_front().map(|due| due.elapsed()));
            }
        }
        Ok(complete)
    }
}
