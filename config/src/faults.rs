//! Faults of a configuration: what, where, and what to do. A run collects all faults.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use crate::node::{Node, Position};

/// A fault or a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its position.
    pub position: Position,
    /// The problem, in one sentence without a full stop.
    pub message: String,
    /// What to do; may have several lines.
    pub help: Option<String>,
    /// Whether the configuration is usable nevertheless.
    pub severity: Severity,
}

/// Whether a fault makes the configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; the operator sees a warning.
    Warning,
}

impl Fault {
    /// A fault that makes the configuration unusable.
    pub fn error(position: Position, message: impl Into<String>) -> Self {
        Self {
            position,
            message: message.into(),
            help: None,
            severity: Severity::Error,
        }
    }

    /// A warning about a usable configuration.
    pub fn warning(position: Position, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(position, message)
        }
    }

    /// The fault with a help text.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Fault {
    /// Prints `error: FILE:LINE:COLUMN: MESSAGE` and each line of the help below it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(out, "{word}: {}: {}", self.position, self.message)?;
        for line in self.help.iter().flat_map(|help| help.lines()) {
            write!(out, "\n  help: {line}")?;
        }
        Ok(())
    }
}

/// All faults in the order of the files and their lines, with the texts of the files.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    sources: Sources,
}

impl Faults {
    /// Collects faults with the texts they point into. Faults of one file are sorted by line; files
    /// keep their read order.
    pub fn new(mut list: Vec<Fault>, sources: Sources) -> Self {
        let order = |fault: &Fault| {
            let position = &fault.position;
            (
                sources.position(&position.file),
                position.line,
                position.column,
            )
        };
        list.sort_by_cached_key(order);
        Self { list, sources }
    }

    /// The texts that the faults point into, for [`Faults::render`].
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl Deref for Faults {
    type Target = [Fault];

    fn deref(&self) -> &[Fault] {
        &self.list
    }
}

impl fmt::Display for Faults {
    /// Prints one block for each fault, each with a final line feed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list
            .iter()
            .try_for_each(|fault| writeln!(out, "{fault}"))
    }
}

impl std::error::Error for Faults {}

/// The texts of the files, to show the lines of faults. It also knows the lines that must not be
/// shown: the configuration of a plugin may hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    texts: Vec<Text>,
    private: BTreeMap<Arc<Path>, BTreeSet<u32>>,
    unparsed: BTreeSet<Arc<Path>>,
}

/// A file's text, and the offset of each line.
#[derive(Clone)]
struct Text {
    file: Arc<Path>,
    text: Arc<str>,
    lines: Arc<[usize]>,
}

impl Sources {
    /// The files in read order.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.texts.iter().map(|text| &*text.file)
    }

    pub(crate) fn add(&mut self, file: &Arc<Path>, text: &Arc<str>) {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let lines = std::iter::once(0).chain(ends).collect();
        self.texts.push(Text {
            file: Arc::clone(file),
            text: Arc::clone(text),
            lines,
        });
    }

    /// Hides the lines of an unparsable file if it may contain a `config:`.
    pub(crate) fn hide_unparsed(&mut self, file: &Arc<Path>, text: &str) {
        if text.contains("plugins") || text.contains("config") {
            self.unparsed.insert(Arc::clone(file));
        }
    }

    /// Hides every line on which this node or a part of it begins.
    pub(crate) fn hide(&mut self, node: &Node) {
        use crate::node::Kind;
        self.hide_line(&node.position);
        match &node.kind {
            Kind::Seq(items) => items.iter().for_each(|item| self.hide(item)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.hide_line(&key.position);
                self.hide(value);
            }),
            _ => {}
        }
    }

    fn hide_line(&mut self, position: &Position) {
        self.private
            .entry(Arc::clone(&position.file))
            .or_default()
            .insert(position.line);
    }

    fn position(&self, file: &Path) -> usize {
        self.texts
            .iter()
            .position(|text| *text.file == *file)
            .unwrap_or(usize::MAX)
    }

    /// The line of a position, unless unknown or hidden.
    pub(crate) fn line(&self, position: &Position) -> Option<&str> {
        let hidden = self.unparsed.contains(&position.file)
            || self
                .private
                .get(&position.file)
                .is_some_and(|lines| lines.contains(&position.line));
        let at = usize::try_from(position.line).ok()?.checked_sub(1)?;
        let text = self.texts.get(self.position(&position.file))?;
        let line = text.text.get(*text.lines.get(at)?..)?.lines().next();
        line.filter(|_| !hidden)
    }
}

impl fmt::Debug for Sources {
    /// Names the files only: their text may hold secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.files()).finish()
    }
}

/// Quotes a piece of the operator's text for a message: in backquotes, on one line, cut to length.
pub(crate) fn quoted(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let mut out = String::from("`");
    for (at, character) in text.chars().enumerate() {
        if at == CHARACTERS_MAX {
            out.push('…');
            break;
        }
        if character.is_control() {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out.push('`');
    out
}
