//! What two processes say to each other in a hand-over: one word a line, some with more behind it.
//!
//! ```text
//! new: loaded 1      the configuration is good, all code is in memory
//! old: saved DIR     all state is at rest, there
//! new: ready         instances are started, sockets adopted, workers wait
//! old: serve         nobody is accepted and nothing received here
//! new: serving
//! old: yours         the service manager knows: speak, and own the files
//! new: stop          ends what is left; at any time after that
//! ```
//!
//! `failed REASON` instead of any word of the new process is its last one. Words that are not known come from a version
//! that is not known, and end the hand-over.

use std::fmt;

/// Version of what is said here.
const VERSION: &str = "1";

/// See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    Loaded,
    /// The directory, as text; `None` when no state goes over.
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
    /// What a line says.
    pub(super) fn read(line: &str) -> Self {
        let (word, more) = line.split_once(' ').unwrap_or((line, ""));
        match (word, more) {
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

/// As it is sent, without the end of the line.
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
    fn each_word_is_read_as_it_was_written() {
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
        for word in all {
            assert_eq!(Message::read(&word.to_string()), word);
        }
        let two = Message::Failed("one\nready".to_owned()).to_string();
        assert_eq!(two, "failed one ready");
    }

    #[test]
    fn another_version_is_not_understood() {
        for line in ["loaded 2", "loaded", "ready now", "", "hello"] {
            assert_eq!(Message::read(line), Message::Unknown(line.to_owned()));
        }
    }
}
