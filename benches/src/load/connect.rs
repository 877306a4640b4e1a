//! Short streams: connect, one message, its echo, close; several at a time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use socket2::{Domain, Protocol, Socket, Type};

use super::Aim;
use super::payload::Payload;
use super::poll::{Poll, Ready};
use crate::meter::{Outcome, Turn};

/// Loopback addresses to come from: one alone runs out of ports that wait for late segments.
const SOURCES: u32 = 32;

/// A visit that so many times all slots have overtaken is stuck.
const AGE_MAX: u32 = 100;

#[derive(Debug)]
struct Mill {
    poll: Poll,
    server: SocketAddr,
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
    asked: bool,
    received: usize,
}

pub(crate) fn run(aim: &Aim, slots: u32, bytes: usize) -> Result<Outcome> {
    let mut mill = Mill {
        poll: Poll::new()?,
        server: aim.address,
        payload: Payload::new(bytes),
        buffer: vec![0; 4 * 1024],
        visits: Vec::new(),
        begun: 0,
    };
    for slot in 0..slots {
        let visit = mill.begin(slot as usize)?;
        mill.visits.push(visit);
    }
    let mut window = aim.window()?;
    let mut operations = 0;
    loop {
        for ready in mill.poll.look()? {
            operations += u64::from(mill.step(ready)?);
        }
        if let Turn::Done(outcome) = window.turn(operations)? {
            let oldest = mill
                .visits
                .iter()
                .map(|visit| mill.begun - visit.number)
                .max();
            ensure!(oldest < Some(slots * AGE_MAX), "a visit got no echo");
            return Ok(outcome);
        }
    }
}

impl Mill {
    fn begin(&mut self, slot: usize) -> Result<Visit> {
        let number = self.begun;
        self.begun = self.begun.wrapping_add(1);
        let [_, _, _, host] = (number % SOURCES + 1).to_be_bytes();
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 1, host), 0));
        let socket = Socket::new(
            Domain::IPV4,
            Type::STREAM.nonblocking(),
            Some(Protocol::TCP),
        )?;
        setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&source.into())?;
        match socket.connect(&self.server.into()) {
            Err(fault) if fault.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(fault).context("cannot connect");
            }
            _ => self.poll.watch(&socket, slot)?,
        }
        Ok(Visit {
            socket,
            number,
            asked: false,
            received: 0,
        })
    }

    /// Carries one visit on; true when it ended and the next one began in its place.
    fn step(&mut self, ready: Ready) -> Result<bool> {
        let visit = self.visits.get_mut(ready.index).context("no such visit")?;
        if ready.writable && !visit.asked {
            visit.ask(&mut self.payload)?;
        }
        if !ready.readable || !visit.hear(&self.payload, &mut self.buffer)? {
            return Ok(false);
        }
        let next = self.begin(ready.index)?;
        if let Some(visit) = self.visits.get_mut(ready.index) {
            *visit = next;
        }
        Ok(true)
    }
}

impl Visit {
    /// A small message always fits into a fresh socket.
    fn ask(&mut self, payload: &mut Payload) -> Result<()> {
        let message = payload.message(0, self.number);
        let length = (&self.socket).write(message).context("cannot send")?;
        ensure!(
            length == message.len(),
            "a fresh socket took {length} bytes only"
        );
        self.asked = true;
        Ok(())
    }

    /// True when the echo is complete.
    fn hear(&mut self, payload: &Payload, buffer: &mut [u8]) -> Result<bool> {
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
