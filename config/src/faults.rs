//! What is wrong with a configuration, said so that an operator can act: what, where, what to do.
//! A run collects every fault before it gives up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::node::{Node, Place};

/// One thing that is wrong, or that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub place: Place,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// What to do about it; may have several lines.
    pub help: Option<String>,
    /// Whether the configuration can be used in spite of it.
    pub severity: Severity,
}

/// Whether a fault stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is used; the operator is told.
    Warning,
}

impl Fault {
    /// A fault that makes the configuration unusable.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self {
            place,
            message: message.into(),
            help: None,
            severity: Severity::Error,
        }
    }

    /// Something to know about a configuration that is used all the same.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// The same fault with a line on what to do.
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
        write!(out, "{word}: {}: {}", self.place, self.message)?;
        for line in self.help.iter().flat_map(|help| help.lines()) {
            write!(out, "\n  help: {line}")?;
        }
        Ok(())
    }
}

/// Everything that is wrong, in the order of the files and their lines, with the texts it was found
/// in.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    list: Vec<Fault>,
    sources: Sources,
}

impl Faults {
    /// Puts faults together with the texts that they point into. Faults in one file are sorted by
    /// line; files keep the order in which they were read.
    pub fn new(mut list: Vec<Fault>, sources: Sources) -> Self {
        let order = |fault: &Fault| {
            let place = &fault.place;
            (sources.position(&place.file), place.line, place.column)
        };
        list.sort_by_cached_key(order);
        Self { list, sources }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each fault in turn.
    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.list.iter()
    }

    /// The texts that the faults point into, for [`Faults::render`].
    pub fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl<'a> IntoIterator for &'a Faults {
    type Item = &'a Fault;
    type IntoIter = std::slice::Iter<'a, Fault>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl IntoIterator for Faults {
    type Item = Fault;
    type IntoIter = std::vec::IntoIter<Fault>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl fmt::Display for Faults {
    /// Prints one block for each fault, each ended by a line feed.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.list
            .iter()
            .try_for_each(|fault| writeln!(out, "{fault}"))
    }
}

impl std::error::Error for Faults {}

/// The texts that were read, so that a fault can be shown in its line. It also knows which lines
/// must not be shown: the configuration of a plugin may hold secrets.
#[derive(Clone, Default)]
pub struct Sources {
    texts: Vec<Text>,
    private: BTreeMap<Arc<Path>, BTreeSet<u32>>,
    unparsed: BTreeSet<Arc<Path>>,
}

/// A file that was read, and the byte at which each of its lines begins.
#[derive(Clone)]
struct Text {
    file: Arc<Path>,
    text: Arc<str>,
    lines: Arc<[usize]>,
}

impl Sources {
    /// The files that were read, in the order in which they were.
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

    /// Keeps the lines of a file that is no YAML from being shown when it may hold a `config:`.
    pub(crate) fn hide_unparsed(&mut self, file: &Arc<Path>, text: &str) {
        if text.contains("plugins") || text.contains("config") {
            self.unparsed.insert(Arc::clone(file));
        }
    }

    /// Keeps every line on which this node, or a part of it, begins from being shown.
    pub(crate) fn hide(&mut self, node: &Node) {
        use crate::node::Kind;
        self.hide_line(&node.place);
        match &node.kind {
            Kind::Seq(items) => items.iter().for_each(|item| self.hide(item)),
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| {
                self.hide_line(&key.place);
                self.hide(value);
            }),
            _ => {}
        }
    }

    fn hide_line(&mut self, place: &Place) {
        self.private
            .entry(Arc::clone(&place.file))
            .or_default()
            .insert(place.line);
    }

    fn position(&self, file: &Path) -> usize {
        self.texts
            .iter()
            .position(|text| *text.file == *file)
            .unwrap_or(usize::MAX)
    }

    /// The line that a place stands in, unless it is unknown or must not be shown.
    pub(crate) fn line(&self, place: &Place) -> Option<&str> {
        let hidden = self.unparsed.contains(&place.file)
            || self
                .private
                .get(&place.file)
                .is_some_and(|lines| lines.contains(&place.line));
        let at = usize::try_from(place.line).ok()?.checked_sub(1)?;
        let text = self.texts.get(self.position(&place.file))?;
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

/// A piece of the operator's text inside a message: in backquotes, on one line, not too long.
pub(crate) fn shown(text: &str) -> String {
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
