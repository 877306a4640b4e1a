//! Short streams: connect, one message, its answer, close; several at a time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use socket2::Socket;

use super::payload::Payload;
use crate::dial::{Dial, Dialled};
use crate::poll::{Poll, Ready, Who};

const BUFFER_BYTES: usize = 4 * 1024;
/// A visit that all slots together have overtaken so many times is stuck.
const AGE_MAX: u32 = 100;

#[derive(Debug)]
struct Visits {
    poll: Poll,
    dial: Dial,
    payload: Payload,
    buffer: Vec<u8>,
    visits: Vec<Visit>,
    begun: u32,
}

/// One short stream.
#[derive(Debug)]
struct Visit {
    socket: Socket,
    number: u32,
    sent: bool,
    received: usize,
}

pub(super) fn run(
    server: SocketAddr,
    count: u32,
    bytes: usize,
    is_over: &mut dyn FnMut(u64) -> Result<bool>,
) -> Result<()> {
    let mut all = Visits {
        poll: Poll::new()?,
        dial: Dial::to(server),
        payload: Payload::new(bytes),
        buffer: vec![0; BUFFER_BYTES],
        visits: Vec::new(),
        begun: 0,
    };
    for slot in 0..count {
        let visit = all.begin(slot)?;
        all.visits.push(visit);
    }
    let mut operations = 0;
    while !is_over(operations)? {
        for ready in all.poll.look()? {
            operations += u64::from(all.advance(ready)?);
        }
    }
    let ages = all.visits.iter().map(|visit| all.begun - visit.number);
    ensure!(ages.max() < Some(count * AGE_MAX), "a visit got no echo");
    Ok(())
}

impl Visits {
    fn begin(&mut self, slot: u32) -> Result<Visit> {
        let number = self.begun;
        self.begun = self.begun.wrapping_add(1);
        let dialled = self.dial.open(u64::from(number));
        let Dialled::Socket(socket) = dialled.context("cannot connect")? else {
            bail!("the server's queue is full");
        };
        self.poll.watch(&socket, Who::Client(slot))?;
        Ok(Visit {
            socket,
            number,
            sent: false,
            received: 0,
        })
    }

    /// Returns true when a visit ended and the next one began in its place.
    fn advance(&mut self, ready: Ready) -> Result<bool> {
        let visit = self.visits.get_mut(ready.slot as usize);
        let visit = visit.context("no such visit")?;
        if ready.writable && !visit.sent {
            visit.send(&mut self.payload)?;
        }
        if !ready.readable || !visit.receive(&self.payload, &mut self.buffer)? {
            return Ok(false);
        }
        let next = self.begin(ready.slot)?;
        if let Some(visit) = self.visits.get_mut(ready.slot as usize) {
            *visit = next;
        }
        Ok(true)
    }
}

impl Visit {
    /// A small message always fits into a fresh socket.
    fn send(&mut self, payload: &mut Payload) -> Result<()> {
        let message = payload.message(0, self.number);
        let length = (&self.socket).write(message).context("cannot send")?;
        ensure!(
            length == message.len(),
            "a fresh socket took {length} bytes only"
        );
        self.sent = true;
        Ok(())
    }

    /// Returns true when the answer is complete.
    fn receive(&mut self, payload: &Payload, buffer: &mut [u8]) -> Result<bool> {
        let length = match (&self.socket).read(buffer) {
            Ok(length) => length,
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(fault) => return Err(fault).context("cannot receive"),
        };
        ensure!(
            length > 0,
            "the server closed a stream before its echo was complete"
        );
        let part = buffer.get(..length).unwrap_or_default();
        payload.check((0, self.number), self.received, part)?;
        self.received += length;
        ensure!(
            self.received <= payload.bytes(),
            "more came back than was sent"
        );
        Ok(self.received == payload.bytes())
    }
}
