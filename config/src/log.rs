//! The `log:` section: format and level of the log on stderr.

use std::fmt;

use crate::reference;
use crate::table::{Findings, Table};

/// Logging.
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
    /// Failures.
    Error,
    /// Problems that an operator should look at.
    Warn,
    /// State changes of the daemon.
    Info,
    /// The end of each stream.
    Debug,
    /// Every step.
    Trace,
}

impl LogFormat {
    const NAMES: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("text", Self::Text),
        ("json", Self::Json),
        ("journald", Self::Journald),
    ];
}

impl LogLevel {
    const NAMES: [(&'static str, Self); 5] = [
        ("error", Self::Error),
        ("warn", Self::Warn),
        ("info", Self::Info),
        ("debug", Self::Debug),
        ("trace", Self::Trace),
    ];
}

/// Reads the section; an absent one has its defaults.
pub(crate) fn check(root: &Table<'_>, found: &mut Findings) -> Log {
    let table = root.table("log", &reference::LOG, found);
    Log {
        format: named(&LogFormat::NAMES, table.word("format", found)).unwrap_or(LogFormat::Auto),
        level: named(&LogLevel::NAMES, table.word("level", found)).unwrap_or(LogLevel::Info),
    }
}

fn named<T: Copy>(names: &[(&str, T)], word: &str) -> Option<T> {
    let found = names.iter().find(|(name, _)| *name == word);
    found.map(|(_, value)| *value)
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    let found = names.iter().find(|(_, one)| one == value);
    found.map_or("", |(name, _)| name)
}

impl fmt::Display for LogFormat {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(name_of(&Self::NAMES, self))
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(name_of(&Self::NAMES, self))
    }
}
