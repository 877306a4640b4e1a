//! One long-lived stream: its socket, its pings in flight, and the check of their answers.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};

use nix::errno::Errno;
use socket2::Socket;

use crate::field::{Begin, Field};
use crate::generations::{Message, Track, Verdict};
use crate::message::{Answer, Sender};
use crate::options::Rule;
use crate::tally::{Pings, Slowest, micros};

/// More than any right line has.
const LINE_MAX: usize = 256;

/// An open stream, or one that is being connected.
#[derive(Debug)]
pub(crate) struct Stream {
    slot: u32,
    socket: Socket,
    begin: Begin,
    /// The handshake is complete, as far as is known.
    connected: bool,
    next: u64,
    waiting: VecDeque<Ping>,
    /// Bytes that the socket did not take.
    unsent: Vec<u8>,
    received: Vec<u8>,
    track: Track,
    served: bool,
}

#[derive(Debug)]
struct Ping {
    number: u64,
    begin: Begin,
}

/// The state of a stream after its socket was used.
#[derive(Debug)]
pub(crate) enum Line {
    /// It goes on.
    Up,
    /// No connection came about.
    Never(std::io::Error),
    /// It ended, in this way.
    Down(String),
}

impl Stream {
    pub(crate) fn new(slot: u32, socket: Socket, begin: Begin) -> Self {
        Self {
            slot,
            socket,
            begin,
            connected: false,
            next: 0,
            waiting: VecDeque::new(),
            unsent: Vec::new(),
            received: Vec::new(),
            track: Track::default(),
            served: false,
        }
    }

    /// Connected, and no ping is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.connected && self.waiting.is_empty()
    }

    /// Returns whether a right answer came since the last call.
    pub(crate) fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.served)
    }

    /// Sends the next ping, unless the socket has not even taken the last one.
    pub(crate) fn ping(&mut self, field: &mut Field) -> Line {
        if !self.connected || !self.unsent.is_empty() {
            return Line::Up;
        }
        let begin = field.begin();
        field.count(begin.phase, |tally| tally.pings.sent += 1);
        let number = self.next;
        self.next += 1;
        self.waiting.push_back(Ping { number, begin });
        self.unsent = field.run.message(Sender::Stream(self.slot), number);
        self.unsent.push(b'\n');
        self.send()
    }

    fn send(&mut self) -> Line {
        while !self.unsent.is_empty() {
            match (&self.socket).write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length.min(self.unsent.len()))),
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Line::Down(ending(&fault)),
            }
        }
        Line::Up
    }

    /// Reads and checks all answers that have come.
    pub(crate) fn advance(&mut self, field: &mut Field, rule: Rule, buffer: &mut [u8]) -> Line {
        if !self.connected {
            match self.socket.take_error() {
                Ok(None) if self.socket.peer_addr().is_ok() => self.connected = true,
                Ok(None) => return Line::Up,
                Ok(Some(fault)) | Err(fault) => return Line::Never(fault),
            }
        }
        if let Line::Down(reason) = self.send() {
            return Line::Down(reason);
        }
        loop {
            let length = match (&self.socket).read(buffer) {
                Ok(0) => return Line::Down("closed by the server".to_owned()),
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Line::Up,
                Err(fault) => return Line::Down(ending(&fault)),
            };
            self.received.extend(buffer.iter().take(length));
            while let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let answer: Vec<u8> = self.received.drain(..=end).take(end).collect();
                self.judge(field, rule, &answer);
            }
            if self.received.len() > LINE_MAX {
                return Line::Down("an endless line came back".to_owned());
            }
        }
    }

    fn judge(&mut self, field: &mut Field, rule: Rule, answer: &[u8]) {
        let sender = Sender::Stream(self.slot);
        let number = field.run.number(sender, answer);
        let known = number.filter(|number| *number < self.next);
        let is_over = |number: &u64| {
            let first = self.waiting.front();
            first.is_none_or(|ping| *number < ping.number)
        };
        if self.waiting.is_empty() || known.as_ref().is_some_and(is_over) {
            let phase = field.phase();
            return field.count(phase, |tally| tally.pings.surplus += 1);
        }
        // Answers come in order: those that were passed over never come.
        while let Some(ping) = self.waiting.pop_front() {
            if known.is_some_and(|known| ping.number < known) {
                field.count(ping.begin.phase, |tally| tally.pings.unanswered += 1);
                continue;
            }
            return self.finish(field, rule, &ping, answer);
        }
    }

    fn finish(&mut self, field: &mut Field, rule: Rule, ping: &Ping, answer: &[u8]) {
        let sent = field.run.message(Sender::Stream(self.slot), ping.number);
        let checked = field.run.check(&sent, answer);
        let verdict = match checked {
            Answer::Wrong => None,
            Answer::Right(None) => Some(Verdict::Right),
            Answer::Right(Some(label)) => {
                // A stream that may stay with its code is judged by when it began.
                let begin = if rule == Rule::Exact {
                    ping.begin
                } else {
                    self.begin
                };
                let message = Message {
                    number: ping.number,
                    since: begin.since,
                };
                let verdict = self.track.judge(&field.generations, rule, message, label);
                Some(verdict)
            }
        };
        self.served |= verdict == Some(Verdict::Right);
        let took = micros(field.now.saturating_duration_since(ping.begin.at));
        field.count(ping.begin.phase, |tally| {
            count(&mut tally.pings, &mut tally.slowest, verdict, took);
        });
    }

    /// Counts pings whose time is over, and gives up a connection that does not come about.
    pub(crate) fn give_up_late(&mut self, field: &mut Field) -> Line {
        if !self.connected && field.is_late(self.begin) {
            return Line::Never(Errno::ETIMEDOUT.into());
        }
        while let Some(ping) = self.waiting.front() {
            if !field.is_late(ping.begin) {
                break;
            }
            field.count(ping.begin.phase, |tally| tally.pings.unanswered += 1);
            self.waiting.pop_front();
        }
        Line::Up
    }

    /// The stream has ended: no ping in flight will be answered. Returns how many there were.
    pub(crate) fn abandon(&mut self, field: &mut Field) -> u64 {
        let mut unanswered = 0;
        for ping in self.waiting.drain(..) {
            field.count(ping.begin.phase, |tally| tally.pings.unanswered += 1);
            unanswered += 1;
        }
        unanswered
    }
}

fn count(pings: &mut Pings, slowest: &mut Slowest, verdict: Option<Verdict>, took: u64) {
    let number = match verdict {
        Some(Verdict::Right) => {
            slowest.ping_us = slowest.ping_us.max(took);
            &mut pings.answered
        }
        Some(Verdict::Stale) => &mut pings.stale,
        Some(Verdict::Future) => &mut pings.future,
        Some(Verdict::Regressed) => &mut pings.regressed,
        Some(Verdict::Moved) => &mut pings.moved,
        None => &mut pings.wrong,
    };
    *number += 1;
}

fn ending(fault: &std::io::Error) -> String {
    match fault.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "reset".to_owned(),
        _ => fault.to_string(),
    }
}
