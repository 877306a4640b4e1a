//! What a probe child and its parent say to each other over a socket: an order in, then one JSON
//! message a line out.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::load_error::LoadError;
use crate::probe::{ProbeReport, Validation};

/// What goes to the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) deadline_ms: u64,
    pub(crate) validations: Vec<Validation>,
}

/// How far the child has come; said before each step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Step {
    Starting,
    Opening,
    Entering,
    Negotiating,
    Init,
    /// The handler of this name is asked.
    Validating(String),
}

/// What comes back, one a line; the last two end the talk.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Message {
    Reached(Step),
    Refused(LoadError),
    Finished(ProbeReport),
}

/// How the talk with a child ended.
pub(crate) enum Ending {
    Finished(Box<ProbeReport>),
    Refused(LoadError),
    /// The deadline passed.
    Late,
    /// The child closed its end without a last word.
    Gone,
    /// Not a message, or too many.
    Babble,
}

/// Sends the order, and reads messages up to the last; tells also how far the child had come.
pub(crate) fn converse(mut talk: UnixStream, order: &Order, end: Instant) -> (Step, Ending) {
    let mut step = Step::Starting;
    let Ok(order) = serde_json::to_vec(order) else {
        return (step, Ending::Babble);
    };
    // A child that dies early closes its end; reading tells the rest.
    let sent = talk
        .set_write_timeout(left(end))
        .and_then(|()| talk.write_all(&order));
    if sent.as_ref().is_err_and(is_timeout) {
        return (step, Ending::Late);
    }
    talk.shutdown(Shutdown::Write).unwrap_or_default();
    let mut lines = Lines {
        talk,
        end,
        pending: Vec::new(),
        searched: 0,
        seen: 0,
    };
    loop {
        match lines.next() {
            Ok(Message::Reached(next)) => step = next,
            Ok(Message::Refused(refusal)) => return (step, Ending::Refused(refusal)),
            Ok(Message::Finished(report)) => return (step, Ending::Finished(Box::new(report))),
            Err(ending) => return (step, ending),
        }
    }
}

/// Messages from the child, until the deadline and up to a bound.
struct Lines {
    talk: UnixStream,
    end: Instant,
    pending: Vec<u8>,
    /// How much of `pending` has been searched for the end of a line.
    searched: usize,
    seen: usize,
}

impl Lines {
    fn next(&mut self) -> Result<Message, Ending> {
        loop {
            let fresh = self.pending.get(self.searched..).unwrap_or_default();
            if let Some(length) = fresh.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=self.searched + length).collect();
                self.searched = 0;
                return serde_json::from_slice(&line).map_err(|_| Ending::Babble);
            }
            self.searched = self.pending.len();
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Ending> {
        let time = left(self.end).ok_or(Ending::Late)?;
        self.talk
            .set_read_timeout(Some(time))
            .map_err(|_| Ending::Babble)?;
        let mut chunk = [0; 8192];
        match self.talk.read(&mut chunk) {
            Ok(0) => Err(Ending::Gone),
            Ok(count) => {
                self.seen += count;
                self.pending
                    .extend_from_slice(chunk.get(..count).unwrap_or_default());
                if self.seen > REPORT_MAX {
                    Err(Ending::Babble)
                } else {
                    Ok(())
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) if is_timeout(&error) => Err(Ending::Late),
            Err(_) => Err(Ending::Gone),
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

/// Bytes of all that a child may say.
const REPORT_MAX: usize = 4 << 20;
