//! The trace of a run: every callback and every step, as a hash and, if wanted, as lines.
//!
//! Nothing in it depends on the machine: objects, instances and connections have numbers in the order in which they
//! were first seen, and times count from the start of the run.

use crate::random::mix;

/// See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: u64,
    callbacks: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// Empty; keeps lines if `lines`.
    pub(crate) fn new(lines: bool) -> Self {
        Self {
            lines: lines.then(Vec::new),
            ..Self::default()
        }
    }

    /// A callback: part of the hash.
    pub(crate) fn callback(&mut self, what: &str, values: &[(&str, u64)]) {
        self.callbacks += 1;
        for byte in what.bytes() {
            self.hash = self.hash.rotate_left(5) ^ u64::from(byte);
        }
        for (_, value) in values {
            self.hash = mix(self.hash ^ *value);
        }
        self.line("  ", what, values);
    }

    /// Something outside of callbacks: part of the lines only.
    pub(crate) fn step(&mut self, what: &str, values: &[(&str, u64)]) {
        self.line("", what, values);
    }

    fn line(&mut self, indent: &str, what: &str, values: &[(&str, u64)]) {
        if let Some(lines) = &mut self.lines {
            let mut line = format!("{indent}{what}");
            for (name, value) in values {
                // A status is negative when it is an error.
                match *value as i64 {
                    error @ -64..0 => line.extend([" ", name, "=", &error.to_string()]),
                    _ => line.extend([" ", name, "=", &value.to_string()]),
                }
            }
            lines.push(line);
        }
    }

    /// The hash of all callbacks so far.
    pub(crate) fn hash(&self) -> u64 {
        mix(self.hash ^ self.callbacks)
    }

    /// How many callbacks there were.
    pub(crate) fn callbacks(&self) -> u64 {
        self.callbacks
    }

    /// The lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
