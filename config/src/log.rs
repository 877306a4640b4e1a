//! The `log:` section: what is written to stderr, and how.

use crate::checked::{Findings, Table};
use crate::node::{Node, Place};
use crate::reference;

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// The least severe event that is written.
    pub level: LogLevel,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `Journald` when stderr is the journal, else `Text`.
    Auto,
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
    /// The journal's own protocol, with fields.
    Journald,
}

/// The least severe event that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What failed.
    Error,
    /// What an operator should look at.
    Warn,
    /// States of the daemon.
    Info,
    /// The end of each stream.
    Debug,
    /// Every step.
    Trace,
}

/// Reads the section; one that is left out has its defaults.
pub(crate) fn check(node: Option<&Node>, found: &mut Findings) -> Log {
    let absent = Node::empty_map(Place::whole(std::path::Path::new("")));
    let table = Table::open(
        node.unwrap_or(&absent),
        &reference::LOG,
        "log".to_owned(),
        found,
    );
    let format = match table.word("format", found) {
        "text" => LogFormat::Text,
        "json" => LogFormat::Json,
        "journald" => LogFormat::Journald,
        _ => LogFormat::Auto,
    };
    let level = match table.word("level", found) {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
        _ => LogLevel::Info,
    };
    Log { format, level }
}

impl std::fmt::Display for LogFormat {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
            Self::Journald => "journald",
        })
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}
