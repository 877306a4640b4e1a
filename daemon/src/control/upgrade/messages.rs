//! The messages of a hand-over: one a line, some with an argument.
//!
//! ```text
//! new: loaded 1      the configuration is valid, all code is in memory
//! old: saved DIR     all state is saved, in this directory
//! new: ready         instances are started, sockets adopted, workers wait
//! old: serve         the old process accepts and receives nothing any more
//! new: serving
//! old: yours         committed: the new process notifies the service manager and owns the files
//! new: stop          end what is left; at any time after that
//! ```
//!
//! `failed REASON` in place of any message of the new process is its last one. An unknown message comes from an unknown
//! version, and ends the hand-over.

use std::fmt;

/// Version of the protocol.
const VERSION: &str = "1";

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Loaded,
    /// The directory as text; `None` when no state is handed over.
    Saved(Option<String>),
    Ready,
    Serve,
    Serving,
    Committed,
    Failed(String),
    Stop,
    Unknown(String),
}

impl Message {
    /// Parses a line without its end.
    pub(super) fn parse(line: &str) -> Self {
        let (word, argument) = line.split_once(' ').unwrap_or((line, ""));
        match (word, argument) {
            ("loaded", VERSION) => Self::Loaded,
            ("saved", "") => Self::Saved(None),
            ("saved", directory) => Self::Saved(Some(directory.to_owned())),
            ("ready", "") => Self::Ready,
            ("serve", "") => Self::Serve,
            ("serving", "") => Self::Serving,
            ("yours", "") => Self::Committed,
            ("failed", reason) => Self::Failed(reason.to_owned()),
            ("stop", "") => Self::Stop,
            _ => Self::Unknown(line.to_owned()),
        }
    }
}

/// The line without its end.
impl fmt::Display for Message {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loaded => write!(out, "loaded {VERSION}"),
            Self::Saved(None) => out.write_str("saved"),
            Self::Saved(Some(directory)) => write!(out, "saved {directory}"),
            Self::Ready => out.write_str("ready"),
            Self::Serve => out.write_str("serve"),
            Self::Serving => out.write_str("serving"),
            Self::Committed => out.write_str("yours"),
            Self::Failed(reason) => write!(out, "failed {}", reason.replace(['\n', '\r'], " ")),
            Self::Stop => out.write_str("stop"),
            Self::Unknown(line) => out.write_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_parsed_as_it_was_written() {
        let all = [
            Message::Loaded,
            Message::Saved(None),
            Message::Saved(Some("/var/lib/a b".to_owned())),
            Message::Ready,
            Message::Serve,
            Message::Serving,
            Message::Committed,
            Message::Failed("no such thing".to_owned()),
            Message::Stop,
        ];
        for message in all {
            assert_eq!(Message::parse(&message.to_string()), message);
        }
        let two_lines = Message::Failed("one\nready".to_owned()).to_string();
        assert_eq!(two_lines, "failed one ready");
    }

    #[test]
    fn message_of_another_version_is_unknown() {
        for line in ["loaded 2", "loaded", "ready now", "", "hello"] {
            assert_eq!(Message::parse(line), Message::Unknown(line.to_owned()));
        }
    }
}
