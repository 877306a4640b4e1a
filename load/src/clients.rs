//! Short connections: connect, send one line, read its answer, close, and begin again at once.

use std::io::{ErrorKind, Read as _, Write as _};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::dial::{Dial, Dialled, Failure};
use crate::field::{Begin, Field};
use crate::generations::Verdict;
use crate::message::{Answer, Sender};
use crate::poll::Who;
use crate::tally::{Connects, micros};

/// After a failure, so that a dead server is not asked in a mad rush.
const PAUSE: Duration = Duration::from_millis(10);
/// More than any right answer has.
const ANSWER_MAX: usize = 256;

/// All clients.
#[derive(Debug)]
pub(crate) struct Clients {
    clients: Vec<Client>,
    begun: u64,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Client {
    attempt: Option<Attempt>,
    again_at: Instant,
    served: bool,
}

#[derive(Debug)]
struct Attempt {
    begin: Begin,
    number: u64,
    /// Not yet there while the server's queue is full.
    socket: Option<Socket>,
    line: Vec<u8>,
    asked: usize,
    received: Vec<u8>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Ok,
    Refused,
    Reset,
    TimedOut,
    Broken,
    Wrong,
    Stale,
    Future,
    FailedHere,
}

impl Clients {
    pub(crate) fn new(count: u32, field: &Field) -> Self {
        let client = |_| Client {
            attempt: None,
            again_at: field.now,
            served: false,
        };
        Self {
            clients: (0..count).map(client).collect(),
            begun: 0,
            buffer: vec![0; 4096],
        }
    }

    /// No attempt is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.clients.iter().all(|client| client.attempt.is_none())
    }

    /// Forgets which have been answered.
    pub(crate) fn forget_answers(&mut self) {
        for client in &mut self.clients {
            client.served = false;
        }
    }

    /// Clients without an answer since [`Self::forget_answers`].
    pub(crate) fn unanswered(&self) -> usize {
        let unanswered = self.clients.iter().filter(|client| !client.served);
        unanswered.count()
    }

    /// Begins due attempts and gives up late ones.
    pub(crate) fn tick(&mut self, field: &mut Field, dial: &Dial) {
        for slot in 0..self.clients.len() {
            self.tick_one(field, dial, slot);
        }
    }

    fn tick_one(&mut self, field: &mut Field, dial: &Dial, slot: usize) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        match &mut client.attempt {
            Some(attempt) if field.is_late(attempt.begin) => client.finish(field, End::TimedOut),
            Some(attempt) if attempt.socket.is_some() => {}
            Some(attempt) => {
                let end = attempt.connect(field, dial, slot);
                client.finish_if(field, end);
            }
            None if field.is_stopping() || client.again_at > field.now => {}
            None => self.begin(field, dial, slot),
        }
    }

    fn begin(&mut self, field: &mut Field, dial: &Dial, slot: usize) {
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let begin = Begin {
            at: Instant::now(),
            ..field.begin()
        };
        field.count(begin.phase, |tally| tally.connects.begun += 1);
        let mut attempt = Attempt::new(field, begin, self.begun);
        self.begun += 1;
        let end = attempt.connect(field, dial, slot);
        client.attempt = Some(attempt);
        client.finish_if(field, end);
    }

    /// Something happened on a client's socket.
    pub(crate) fn ready(&mut self, field: &mut Field, dial: &Dial, slot: u32) {
        let slot = slot as usize;
        let Some(client) = self.clients.get_mut(slot) else {
            return;
        };
        let Some(attempt) = &mut client.attempt else {
            return;
        };
        let Some(end) = attempt.advance(field, &mut self.buffer) else {
            return;
        };
        client.finish(field, end);
        if end == End::Ok && !field.is_stopping() {
            self.begin(field, dial, slot);
        }
    }
}

impl Client {
    fn finish_if(&mut self, field: &mut Field, end: Option<End>) {
        if let Some(end) = end {
            self.finish(field, end);
        }
    }

    fn finish(&mut self, field: &mut Field, end: End) {
        let Some(attempt) = self.attempt.take() else {
            return;
        };
        self.served |= end == End::Ok;
        self.again_at = if end == End::Ok {
            field.now
        } else {
            field.now + PAUSE
        };
        let took = micros(attempt.begin.at.elapsed());
        field.count(attempt.begin.phase, |tally| {
            *end.number(&mut tally.connects) += 1;
            if end == End::Ok {
                tally.slowest.connect_us = tally.slowest.connect_us.max(took);
            }
        });
    }
}

impl Attempt {
    fn new(field: &Field, begin: Begin, number: u64) -> Self {
        let mut line = field.run.message(Sender::Clients, number);
        line.push(b'\n');
        Self {
            begin,
            number,
            socket: None,
            line,
            asked: 0,
            received: Vec::new(),
        }
    }

    /// Begins to connect; returns how the attempt ended if it has.
    fn connect(&mut self, field: &mut Field, dial: &Dial, slot: usize) -> Option<End> {
        let dialled = match dial.open(self.number) {
            Ok(dialled) => dialled,
            Err(fault) => return Some(failed(field, &fault)),
        };
        let Dialled::Socket(socket) = dialled else {
            return None;
        };
        let who = Who::Client(u32::try_from(slot).ok()?);
        if let Err(fault) = field.poll.watch(&socket, who) {
            return Some(failed(field, &fault.into()));
        }
        self.socket = Some(socket);
        None
    }

    fn advance(&mut self, field: &mut Field, buffer: &mut [u8]) -> Option<End> {
        let mut socket = self.socket.as_ref()?;
        while let Some(rest) = self.line.get(self.asked..).filter(|rest| !rest.is_empty()) {
            match socket.write(rest) {
                Ok(length) => self.asked += length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return None,
                Err(fault) => return Some(failed(field, &fault)),
            }
        }
        loop {
            let length = match socket.read(buffer) {
                Ok(0) => return Some(End::Broken),
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return None,
                Err(fault) => return Some(failed(field, &fault)),
            };
            self.received.extend(buffer.iter().take(length));
            if self.received.contains(&b'\n') || self.received.len() > ANSWER_MAX {
                return Some(self.judge(field));
            }
        }
    }

    fn judge(&self, field: &Field) -> End {
        let label = match field.run.check(&self.line, &self.received) {
            Answer::Wrong => return End::Wrong,
            Answer::Right(None) => return End::Ok,
            Answer::Right(Some(label)) => label,
        };
        match field.generations.judge(self.begin.since, label) {
            Verdict::Right => End::Ok,
            Verdict::Future => End::Future,
            Verdict::Stale | Verdict::Regressed | Verdict::Moved => End::Stale,
        }
    }
}

fn failed(field: &mut Field, fault: &std::io::Error) -> End {
    match Failure::of(fault) {
        Failure::Refused => End::Refused,
        Failure::Reset => End::Reset,
        Failure::TimedOut => End::TimedOut,
        Failure::Here => {
            field.trouble("a client cannot connect", fault);
            End::FailedHere
        }
    }
}

impl End {
    fn number(self, connects: &mut Connects) -> &mut u64 {
        match self {
            Self::Ok => &mut connects.ok,
            Self::Refused => &mut connects.refused,
            Self::Reset => &mut connects.reset,
            Self::TimedOut => &mut connects.timed_out,
            Self::Broken => &mut connects.broken,
            Self::Wrong => &mut connects.wrong,
            Self::Stale => &mut connects.stale,
            Self::Future => &mut connects.future,
            Self::FailedHere => &mut connects.failed_here,
        }
    }
}
