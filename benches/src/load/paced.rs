//! A fixed rate, whether or not replies came: latency without the courtesy of a client that
//! waits. A message's time starts when it was due, so a server that stalls pays for all that
//! were due meanwhile.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::Aim;
use super::payload::Payload;
use super::poll::Poll;
use super::tcp::Round;
use crate::meter::{Outcome, Turn};

/// Messages on their way on one stream; more means that the server cannot hold the rate.
const DEPTH: usize = 1000;
/// Of the offered rate, at least this share must have come back.
const HELD: f64 = 0.97;

#[derive(Debug)]
struct Line {
    socket: TcpStream,
    id: u32,
    sent: u32,
    heard: u32,
    received: usize,
    due: VecDeque<Instant>,
}

pub(crate) fn run(aim: &Aim, streams: u32, bytes: usize, rate: f64) -> Result<Outcome> {
    ensure!(rate >= 1.0, "a rate is needed");
    let mut poll = Poll::new()?;
    let mut lines = Vec::new();
    for (id, socket) in (0..streams).zip(Round::open(aim, streams, bytes)?.into_sockets()) {
        socket.set_nonblocking(true)?;
        poll.watch(&socket, id as usize)?;
        lines.push(Line::new(socket, id));
    }
    let mut payload = Payload::new(bytes);
    let mut buffer = vec![0; 64 * 1024];
    let mut window = aim.window()?;
    let mut times: Vec<Duration> = Vec::new();
    let (start, mut offered, mut operations) = (Instant::now(), 0_u32, 0);
    loop {
        let now = Instant::now();
        let due = start + Duration::from_secs_f64(f64::from(offered) / rate);
        if due <= now {
            let line = lines
                .get_mut((offered % streams) as usize)
                .context("no such line")?;
            line.send(&mut payload, due)?;
            offered = offered.checked_add(1).context("too many messages")?;
        }
        for ready in poll.look()?.into_iter().filter(|ready| ready.readable) {
            let line = lines.get_mut(ready.index).context("no such line")?;
            let before = times.len();
            line.receive(&payload, &mut buffer, &mut times)?;
            operations += (times.len() - before) as u64;
        }
        match window.turn(operations)? {
            Turn::Continue => {}
            Turn::Done(outcome) => return finish(outcome, times, rate),
        }
    }
}

/// The latencies of the window are the last ones.
fn finish(mut outcome: Outcome, mut times: Vec<Duration>, rate: f64) -> Result<Outcome> {
    let reached = outcome.operations as f64 / outcome.wall_us * 1e6;
    ensure!(
        reached >= HELD * rate,
        "{reached:.0} of {rate:.0} messages a second came back"
    );
    let before = times
        .len()
        .saturating_sub(usize::try_from(outcome.operations)?);
    let mut times = times.split_off(before);
    times.sort_unstable();
    outcome.p50_us = share(&times, 0.50);
    outcome.p99_us = share(&times, 0.99);
    Ok(outcome)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn share(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted
        .get(place)
        .map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

impl Line {
    fn new(socket: TcpStream, id: u32) -> Self {
        Self {
            socket,
            id,
            sent: 0,
            heard: 0,
            received: 0,
            due: VecDeque::new(),
        }
    }

    fn send(&mut self, payload: &mut Payload, due: Instant) -> Result<()> {
        ensure!(self.due.len() < DEPTH, "the server cannot hold the rate");
        let message = payload.message(self.id, self.sent);
        let length = (&self.socket).write(message).context("cannot send")?;
        ensure!(length == message.len(), "the server cannot hold the rate");
        self.sent += 1;
        self.due.push_back(due);
        Ok(())
    }

    /// Reads all that is there, which may be several messages and a part of one.
    fn receive(
        &mut self,
        payload: &Payload,
        buffer: &mut [u8],
        times: &mut Vec<Duration>,
    ) -> Result<()> {
        loop {
            let length = match (&self.socket).read(buffer) {
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(fault) => return Err(fault).context("cannot receive"),
            };
            ensure!(length > 0, "the server closed stream {}", self.id);
            self.take(payload, buffer.get(..length).unwrap_or_default(), times)?;
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    fn take(
        &mut self,
        payload: &Payload,
        mut bytes: &[u8],
        times: &mut Vec<Duration>,
    ) -> Result<()> {
        let now = Instant::now();
        while !bytes.is_empty() {
            let missing = payload.bytes() - self.received;
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            payload.check((self.id, self.heard), self.received, part)?;
            self.received += part.len();
            bytes = rest;
            if self.received == payload.bytes() {
                let due = self
                    .due
                    .pop_front()
                    .context("more came back than was sent")?;
                times.push(now - due);
                self.heard += 1;
                self.received = 0;
            }
        }
        Ok(())
    }
}
