//! Messages and the check of their answers. A message names the run, its sender and its
//! number, so no answer can be taken for another.

use std::fmt;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use crate::options::Reply;

/// The word in all messages of this run and in no others.
#[derive(Debug)]
pub(crate) struct Run {
    word: String,
    reply: Reply,
}

/// Who sends. Its letter keeps the numbers of the kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    /// All clients together.
    Clients,
    /// A long-lived stream.
    Stream(u32),
    /// A source of datagrams, counted through.
    Flow(u64),
}

/// The judgement of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is what was sent, by this generation.
    Right(Option<u64>),
    /// Anything else.
    Wrong,
}

impl Run {
    pub(crate) fn new(reply: Reply) -> Self {
        let word = format!("{:016x}", RandomState::new().build_hasher().finish());
        Self { word, reply }
    }

    /// The message of this sender with this number, without a line feed.
    pub(crate) fn message(&self, sender: Sender, number: u64) -> Vec<u8> {
        format!("{}.{sender}.{number}", self.word).into_bytes()
    }

    /// Compares an answer with what was sent.
    pub(crate) fn check(&self, sent: &[u8], answer: &[u8]) -> Answer {
        match self.reply {
            Reply::Echo if answer == sent => Answer::Right(None),
            Reply::Echo => Answer::Wrong,
            Reply::Stamp => match stamped(answer) {
                Some((label, rest)) if rest == sent => Answer::Right(Some(label)),
                _ => Answer::Wrong,
            },
        }
    }

    /// The number of the message of this sender that is somewhere in the answer.
    pub(crate) fn number(&self, sender: Sender, answer: &[u8]) -> Option<u64> {
        let text = str::from_utf8(answer).ok()?;
        let (_, rest) = text.split_once(&format!("{}.{sender}.", self.word))?;
        let end = rest
            .find(|each: char| !each.is_ascii_digit())
            .unwrap_or(rest.len());
        rest.get(..end)?.parse().ok()
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clients => out.write_str("c"),
            Self::Stream(slot) => write!(out, "s{slot}"),
            Self::Flow(number) => write!(out, "f{number}"),
        }
    }
}

/// `v7 rest` is 7 and `rest`.
fn stamped(answer: &[u8]) -> Option<(u64, &[u8])> {
    let rest = answer.strip_prefix(b"v")?;
    let space = rest.iter().position(|byte| *byte == b' ')?;
    let (digits, rest) = rest.split_at_checked(space)?;
    let label = str::from_utf8(digits).ok()?.parse().ok()?;
    Some((label, rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_what_was_sent_and_nothing_else() {
        let run = Run::new(Reply::Echo);
        let sent = run.message(Sender::Stream(3), 14);
        assert_eq!(run.check(&sent, &sent), Answer::Right(None));
        let other = run.message(Sender::Stream(3), 15);
        for wrong in [&other[..], &[&sent[..], b"x"].concat(), b""] {
            assert_eq!(run.check(&sent, wrong), Answer::Wrong);
        }
        assert_eq!(
            run.check(&sent, &Run::new(Reply::Echo).message(Sender::Stream(3), 14)),
            Answer::Wrong
        );
    }

    #[test]
    fn a_stamp_is_read() {
        let run = Run::new(Reply::Stamp);
        let sent = run.message(Sender::Clients, 1);
        let answer = |stamp: &[u8]| run.check(&sent, &[stamp, &sent].concat());
        assert_eq!(answer(b"v12 "), Answer::Right(Some(12)));
        for wrong in [&b""[..], b"v ", b"v12", b"12 ", b"v-1 ", b"v1  "] {
            assert_eq!(answer(wrong), Answer::Wrong, "{wrong:?}");
        }
    }

    #[test]
    fn a_wrong_answer_may_still_tell_its_number() {
        let run = Run::new(Reply::Stamp);
        let damaged = [&b"v1 "[..], &run.message(Sender::Flow(2), 77), b"!"].concat();
        assert_eq!(run.number(Sender::Flow(2), &damaged), Some(77));
        assert_eq!(run.number(Sender::Flow(3), &damaged), None);
        assert_eq!(run.number(Sender::Flow(2), b"nothing"), None);
    }
}
