//! Long-lived streams: each pings with numbered lines for the whole run, whether or not the last
//! one was answered. A broken stream is reported, and opened again.

use std::time::{Duration, Instant};

use crate::dial::{Dial, Dialled, Failure};
use crate::field::{Begin, Field, PhaseId};
use crate::options::Rule;
use crate::poll::Who;
use crate::stream::{Line, Stream};

/// Before a stream is opened anew.
const PAUSE: Duration = Duration::from_millis(100);

/// All long-lived streams.
#[derive(Debug)]
pub(crate) struct Streams {
    holders: Vec<Holder>,
    every: Duration,
    rule: Rule,
    buffer: Vec<u8>,
}

/// The place of one stream, and of those that follow it when it breaks.
#[derive(Debug)]
struct Holder {
    slot: u32,
    state: State,
    ping_at: Instant,
    served: bool,
}

#[derive(Debug)]
enum State {
    Closed {
        again_at: Instant,
    },
    /// Not yet open, as the server's queue is full.
    Waiting {
        begin: Begin,
    },
    Open {
        stream: Box<Stream>,
        phase: PhaseId,
    },
}

impl Streams {
    /// The pings are spread over the interval.
    pub(crate) fn new(count: u32, every: Duration, rule: Rule, field: &Field) -> Self {
        let holder = |slot| Holder {
            slot,
            state: State::Closed {
                again_at: field.now,
            },
            ping_at: field.now + every * slot / count.max(1),
            served: false,
        };
        Self {
            holders: (0..count).map(holder).collect(),
            every,
            rule,
            buffer: vec![0; 16 * 1024],
        }
    }

    /// No ping is in flight, and none begins.
    pub(crate) fn is_quiet(&self) -> bool {
        self.holders.iter().all(|holder| match &holder.state {
            State::Closed { .. } => true,
            State::Waiting { .. } => false,
            State::Open { stream, .. } => stream.is_quiet(),
        })
    }

    /// Forgets which have been answered.
    pub(crate) fn forget_answers(&mut self) {
        for holder in &mut self.holders {
            holder.served = false;
        }
    }

    /// Streams without an answer since [`Self::forget_answers`].
    pub(crate) fn unanswered(&self) -> usize {
        let unanswered = self.holders.iter().filter(|holder| !holder.served);
        unanswered.count()
    }

    /// Opens and pings streams that are due, and gives up late ones.
    pub(crate) fn tick(&mut self, field: &mut Field, dial: &Dial) {
        for holder in &mut self.holders {
            holder.tick(field, dial, self.every);
        }
    }

    /// Something happened on a stream's socket.
    pub(crate) fn ready(&mut self, field: &mut Field, slot: u32) {
        let Some(holder) = self.holders.get_mut(slot as usize) else {
            return;
        };
        let State::Open { stream, .. } = &mut holder.state else {
            return;
        };
        let line = stream.advance(field, self.rule, &mut self.buffer);
        holder.served |= stream.take_answered();
        holder.settle(field, line);
    }

    /// The end of the run: open streams count as alive.
    pub(crate) fn close(&mut self, field: &mut Field) {
        for holder in &mut self.holders {
            if let State::Open { phase, .. } = holder.state {
                field.count(phase, |tally| tally.streams.alive += 1);
            }
            holder.rest(field.now);
        }
    }
}

impl Holder {
    fn tick(&mut self, field: &mut Field, dial: &Dial, every: Duration) {
        match &mut self.state {
            State::Closed { again_at } if field.is_stopping() || *again_at > field.now => {}
            State::Closed { .. } => {
                let begin = field.begin();
                field.count(begin.phase, |tally| tally.streams.begun += 1);
                self.open(field, dial, begin);
            }
            State::Waiting { begin } if field.is_late(*begin) => {
                field.count(begin.phase, |tally| tally.streams.timed_out += 1);
                self.rest(field.now);
            }
            State::Waiting { begin } => {
                let begin = *begin;
                self.open(field, dial, begin);
            }
            State::Open { stream, .. } => {
                let mut line = stream.give_up_late(field);
                if matches!(line, Line::Up) && self.ping_at <= field.now && !field.is_stopping() {
                    // Pings that this tool was too late for are left out.
                    self.ping_at = (self.ping_at + every).max(field.now);
                    line = stream.ping(field);
                }
                self.settle(field, line);
            }
        }
    }

    fn open(&mut self, field: &mut Field, dial: &Dial, begin: Begin) {
        let socket = match dial.open(u64::from(self.slot)) {
            Ok(Dialled::Socket(socket)) => socket,
            Ok(Dialled::Full) => {
                self.state = State::Waiting { begin };
                return;
            }
            Err(fault) => return self.fail(field, begin.phase, &fault),
        };
        if let Err(fault) = field.poll.watch(&socket, Who::Stream(self.slot)) {
            return self.fail(field, begin.phase, &fault.into());
        }
        self.state = State::Open {
            stream: Box::new(Stream::new(self.slot, socket, begin)),
            phase: begin.phase,
        };
    }

    /// It never opened.
    fn fail(&mut self, field: &mut Field, phase: PhaseId, fault: &std::io::Error) {
        let failure = Failure::of(fault);
        if failure == Failure::Here {
            field.trouble("a long-lived stream cannot connect", fault);
        }
        field.count(phase, |tally| {
            let number = match failure {
                Failure::Refused | Failure::Reset => &mut tally.streams.refused,
                Failure::TimedOut => &mut tally.streams.timed_out,
                Failure::Here => &mut tally.streams.failed_here,
            };
            *number += 1;
        });
        self.rest(field.now);
    }

    /// Closes a stream that is not up any more.
    fn settle(&mut self, field: &mut Field, line: Line) {
        let State::Open { stream, phase } = &mut self.state else {
            return;
        };
        let phase = *phase;
        match line {
            Line::Up => {}
            Line::Never(fault) => {
                stream.abandon(field);
                self.fail(field, phase, &fault);
            }
            Line::Down(reason) => {
                let unanswered = stream.abandon(field);
                field.broke(self.slot, &reason, unanswered);
                self.rest(field.now);
            }
        }
    }

    fn rest(&mut self, now: Instant) {
        self.state = State::Closed {
            again_at: now + PAUSE,
        };
    }
}
