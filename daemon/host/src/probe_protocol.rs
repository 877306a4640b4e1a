//! The protocol between a probe child and its parent, over a socket: the request to the child, then one JSON message a line
//! to the parent.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::load_error::LoadError;
use crate::probe::{ProbeReport, Validation};

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildRequest {
    pub(crate) deadline_ms: u64,
    pub(crate) validations: Vec<Validation>,
}

/// The steps of a child, each sent before it begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Starting,
    Opening,
    Entering,
    Negotiating,
    Init,
    /// With the name of the handler.
    Validating(String),
}

/// Messages to the parent; the last two end the connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Reached(Step),
    Refused(LoadError),
    Finished(ProbeReport),
}

/// How the connection with a child ended.
pub(crate) enum Outcome {
    Finished(Box<ProbeReport>),
    Refused(LoadError),
    /// The deadline passed.
    Late,
    /// The child closed its end without a report.
    Gone,
    /// The child sent something else than messages, or too much.
    Malformed,
}

/// Sends the request, and reads messages to the last. Returns also the last step that the child began.
pub(crate) fn exchange(
    mut socket: UnixStream,
    request: &ChildRequest,
    end: Instant,
) -> (Step, Outcome) {
    let mut step = Step::Starting;
    let Ok(request) = serde_json::to_vec(request) else {
        return (step, Outcome::Malformed);
    };
    // A child that dies early closes its end: then reading fails, too.
    let sent = socket
        .set_write_timeout(left(end))
        .and_then(|()| socket.write_all(&request));
    if sent.as_ref().is_err_and(is_timeout) {
        return (step, Outcome::Late);
    }
    socket.shutdown(Shutdown::Write).unwrap_or_default();
    let mut messages = Messages {
        socket,
        end,
        pending: Vec::new(),
        searched: 0,
        received: 0,
    };
    loop {
        match messages.next() {
            Ok(Message::Reached(next)) => step = next,
            Ok(Message::Refused(error)) => return (step, Outcome::Refused(error)),
            Ok(Message::Finished(report)) => return (step, Outcome::Finished(Box::new(report))),
            Err(outcome) => return (step, outcome),
        }
    }
}

/// Messages from the child, until the deadline and up to a bound.
struct Messages {
    socket: UnixStream,
    end: Instant,
    pending: Vec<u8>,
    /// How many bytes of `pending` hold no end of a line.
    searched: usize,
    received: usize,
}

impl Messages {
    fn next(&mut self) -> Result<Message, Outcome> {
        loop {
            let fresh = self.pending.get(self.searched..).unwrap_or_default();
            if let Some(length) = fresh.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=self.searched + length).collect();
                self.searched = 0;
                return serde_json::from_slice(&line).map_err(|_| Outcome::Malformed);
            }
            self.searched = self.pending.len();
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Outcome> {
        let time = left(self.end).ok_or(Outcome::Late)?;
        self.socket
            .set_read_timeout(Some(time))
            .map_err(|_| Outcome::Malformed)?;
        let mut chunk = [0; 8192];
        match self.socket.read(&mut chunk) {
            Ok(0) => Err(Outcome::Gone),
            Ok(count) => {
                self.received += count;
                self.pending
                    .extend_from_slice(chunk.get(..count).unwrap_or_default());
                if self.received > REPORT_MAX {
                    Err(Outcome::Malformed)
                } else {
                    Ok(())
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if is_timeout(&error) => Err(Outcome::Late),
            Err(_) => Err(Outcome::Gone),
        }
    }
}

fn left(end: Instant) -> Option<Duration> {
    end.checked_duration_since(Instant::now())
        .filter(|time| !time.is_zero())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

/// Most bytes that a child may send.
const REPORT_MAX: usize = 4 << 20;
