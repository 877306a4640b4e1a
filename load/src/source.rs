//! One source of datagrams: a socket of its own, so a flow to the server; its datagrams and what
//! became of each.

use std::collections::VecDeque;
use std::io::{ErrorKind, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Instant;

use nix::sys::socket::sockopt::{Ipv4RecvErr, Ipv6RecvErr};
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt};

use crate::drops::{self, Drops};
use crate::field::{Begin, Field};
use crate::generations::{Message, Since, Track, Verdict};
use crate::message::{Answer, Sender};
use crate::options::Rule;
use crate::tally::{Datagrams, Slowest, micros};

/// So many ended datagrams are remembered, to recognise further answers.
const REMEMBERED: usize = 4096;
/// Errors of earlier datagrams come in place of sending the next one.
const SEND_TRIES: u32 = 4;

/// A socket and its datagrams.
#[derive(Debug)]
pub(crate) struct Source {
    flow: u64,
    socket: UdpSocket,
    inode: u64,
    /// Drops of the kernel that have excused a loss.
    excused: u64,
    /// The generations when the flow began.
    since: Option<Since>,
    /// The number of the first in `sent`.
    first: u64,
    sent: VecDeque<Datagram>,
    /// All lower numbers have ended.
    open_from: u64,
    track: Track,
    served: bool,
}

#[derive(Debug)]
struct Datagram {
    begin: Begin,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// By whatever answer.
    Answered,
    Lost,
    Refused,
}

impl Source {
    /// # Errors
    /// This machine has no socket for it.
    pub(crate) fn open(flow: u64, server: SocketAddr, buffer: usize) -> std::io::Result<Self> {
        let local: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        socket2::SockRef::from(&socket).set_recv_buffer_size(buffer)?;
        // Each refusal then names its datagram.
        if server.is_ipv4() {
            setsockopt(&socket, Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, Ipv6RecvErr, &true)?;
        }
        socket.connect(server)?;
        Ok(Self {
            flow,
            inode: drops::inode(&socket),
            socket,
            excused: 0,
            since: None,
            first: 0,
            sent: VecDeque::new(),
            open_from: 0,
            track: Track::default(),
            served: false,
        })
    }

    /// What is watched.
    pub(crate) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// No datagram is in flight.
    pub(crate) fn is_quiet(&self) -> bool {
        self.open_from == self.next()
    }

    /// Asks anew whether it is answered.
    pub(crate) fn forget_answers(&mut self) {
        self.served = false;
    }

    /// A right answer came since [`Self::forget_answers`].
    pub(crate) fn has_answer(&self) -> bool {
        self.served
    }

    fn next(&self) -> u64 {
        self.first + self.sent.len() as u64
    }

    /// Sends the next datagram; false if the kernel cannot take it now.
    pub(crate) fn send(&mut self, field: &mut Field, buffer: &mut [u8]) -> bool {
        let message = field.run.message(Sender::Flow(self.flow), self.next());
        let begin = Begin {
            at: Instant::now(),
            ..field.begin()
        };
        for _ in 0..SEND_TRIES {
            match self.socket.send(&message) {
                Ok(_) => {
                    field.count(begin.phase, |tally| tally.datagrams.sent += 1);
                    self.since.get_or_insert(begin.since);
                    self.sent.push_back(Datagram {
                        begin,
                        state: State::Waiting,
                    });
                    return true;
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return false,
                Err(_) if self.take_refusals(field, buffer) => {}
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => {}
                Err(fault) => {
                    field.trouble("a datagram cannot be sent", &fault);
                    field.count(begin.phase, |tally| tally.datagrams.failed_here += 1);
                    return true;
                }
            }
        }
        false
    }

    /// Reads and checks all answers that have come.
    pub(crate) fn receive(&mut self, field: &mut Field, rule: Rule, buffer: &mut [u8]) {
        // A bound, so that one socket cannot hold up the others; the sweep looks again.
        for _ in 0..REMEMBERED {
            match self.socket.recv(buffer) {
                Ok(length) => {
                    let answer = buffer.get(..length).unwrap_or_default();
                    self.judge_answer(field, rule, answer);
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return,
                Err(_) => drop(self.take_refusals(field, buffer)),
            }
        }
    }

    /// Reads which datagrams were refused by an ICMP message; true if any was.
    fn take_refusals(&mut self, field: &mut Field, buffer: &mut [u8]) -> bool {
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut some = false;
        loop {
            let mut parts = [IoSliceMut::new(buffer)];
            let fd = self.socket.as_raw_fd();
            let Ok(received) = recvmsg::<SockaddrStorage>(fd, &mut parts, None, flags) else {
                return some;
            };
            some = true;
            let length = received.bytes;
            let refused = buffer.get(..length).unwrap_or_default();
            let number = field.run.number(Sender::Flow(self.flow), refused);
            if let Some(datagram) = number.and_then(|number| self.datagram(number))
                && datagram.state == State::Waiting
            {
                datagram.state = State::Refused;
                let phase = datagram.begin.phase;
                field.count(phase, |tally| tally.datagrams.refused += 1);
            }
        }
    }

    fn datagram(&mut self, number: u64) -> Option<&mut Datagram> {
        let place = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.sent.get_mut(place)
    }

    fn judge_answer(&mut self, field: &mut Field, rule: Rule, answer: &[u8]) {
        let number = field.run.number(Sender::Flow(self.flow), answer);
        let was_sent = number.filter(|number| *number < self.next());
        let Some(number) = was_sent else {
            let phase = field.phase();
            return field.count(phase, |tally| tally.datagrams.stray += 1);
        };
        let Some(datagram) = self.datagram(number) else {
            // Too long ago to be remembered, hence over.
            let phase = field.phase();
            return field.count(phase, |tally| tally.datagrams.late += 1);
        };
        let begin = datagram.begin;
        match datagram.state {
            State::Waiting => datagram.state = State::Answered,
            State::Answered => {
                return field.count(begin.phase, |tally| tally.datagrams.duplicated += 1);
            }
            State::Lost | State::Refused => {
                return field.count(begin.phase, |tally| tally.datagrams.late += 1);
            }
        }
        let verdict = self.judge(field, rule, (number, begin), answer);
        self.served |= verdict == Some(Verdict::Right);
        let took = micros(begin.at.elapsed());
        field.count(begin.phase, |tally| {
            count(&mut tally.datagrams, &mut tally.slowest, verdict, took);
        });
    }

    /// Returns `None` for an answer that is not what was sent.
    fn judge(
        &mut self,
        field: &Field,
        rule: Rule,
        (number, begin): (u64, Begin),
        answer: &[u8],
    ) -> Option<Verdict> {
        let sent = field.run.message(Sender::Flow(self.flow), number);
        let label = match field.run.check(&sent, answer) {
            Answer::Wrong => return None,
            Answer::Right(None) => return Some(Verdict::Right),
            Answer::Right(Some(label)) => label,
        };
        if rule == Rule::Exact {
            return Some(field.generations.judge(begin.since, label));
        }
        // A flow that may stay with its code is judged by when it began.
        let since = self.since.unwrap_or(begin.since);
        let message = Message { number, since };
        Some(self.track.judge(&field.generations, rule, message, label))
    }

    /// Returns whether a datagram has timed out.
    pub(crate) fn has_late(&mut self, field: &Field) -> bool {
        while let Some(datagram) = self.datagram(self.open_from) {
            if datagram.state == State::Waiting {
                return field.is_late(datagram.begin);
            }
            self.open_from += 1;
        }
        false
    }

    /// Gives up late datagrams: each drop of the kernel excuses one loss.
    pub(crate) fn give_up_late(&mut self, field: &mut Field, drops: &Drops) {
        let dropped = drops.of(self.inode);
        while self.has_late(field) {
            let is_excused = self.excused < dropped;
            self.excused += u64::from(is_excused);
            if let Some(datagram) = self.datagram(self.open_from) {
                datagram.state = State::Lost;
                let phase = datagram.begin.phase;
                field.count(phase, |tally| {
                    let datagrams = &mut tally.datagrams;
                    let number = if is_excused {
                        &mut datagrams.lost_here
                    } else {
                        &mut datagrams.lost
                    };
                    *number += 1;
                });
            }
        }
    }

    /// Forgets datagrams that ended long ago.
    pub(crate) fn forget_old(&mut self) {
        while self.first + (REMEMBERED as u64) < self.open_from {
            self.sent.pop_front();
            self.first += 1;
        }
    }
}

fn count(datagrams: &mut Datagrams, slowest: &mut Slowest, verdict: Option<Verdict>, took: u64) {
    let number = match verdict {
        Some(Verdict::Right) => {
            slowest.datagram_us = slowest.datagram_us.max(took);
            &mut datagrams.answered
        }
        Some(Verdict::Stale) => &mut datagrams.stale,
        Some(Verdict::Future) => &mut datagrams.future,
        Some(Verdict::Regressed) => &mut datagrams.regressed,
        Some(Verdict::Moved) => &mut datagrams.moved,
        None => &mut datagrams.wrong,
    };
    *number += 1;
}
