//! The readers of the tree. Each one records a fault and continues with the default, so that one
//! run finds every fault. The keys are declared in `reference.rs` alone.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::faults::{Fault, Sources, quoted};
use crate::name::check_name;
use crate::nearest::nearest;
use crate::node::{Key, Kind, Node, Position};
use crate::reference::{self, Entry, Section};
use crate::units;

/// The findings of a run.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Faults that make the configuration unusable.
    pub(crate) faults: Vec<Fault>,
    /// Warnings.
    pub(crate) warnings: Vec<Fault>,
    /// The texts of the files.
    pub(crate) sources: Sources,
    /// A file could not be read, so a missing name may be in it.
    pub(crate) incomplete: bool,
    /// Values with an undefined variable: further faults about them are suppressed.
    pub(crate) undefined: HashSet<Position>,
}

impl Findings {
    pub(crate) fn error(&mut self, position: &Position, message: String, help: impl Into<String>) {
        if !self.undefined.contains(position) {
            self.faults
                .push(Fault::error(position.clone(), message).with_help(help));
        }
    }
}

/// A map with known keys, opened for reading.
pub(crate) struct Table<'a> {
    section: &'static Section,
    /// Its name in messages: `services.echo.limits`; empty for the file as a whole.
    path: String,
    entries: HashMap<&'a str, &'a Node>,
    /// Its position.
    pub(crate) position: &'a Position,
}

impl<'a> Table<'a> {
    /// Opens a map; records unknown keys and missing required ones. A node of another type is a
    /// fault and read as an empty map.
    pub(crate) fn open(
        node: &'a Node,
        section: &'static Section,
        path: String,
        found: &mut Findings,
    ) -> Self {
        let mut table = Self {
            section,
            path,
            entries: HashMap::new(),
            position: &node.position,
        };
        match &node.kind {
            Kind::Map(entries) => {
                for (key, value) in entries {
                    if section.key(&key.name).is_some() {
                        table.entries.insert(&key.name, value);
                    } else {
                        table.unknown(key, value, found);
                    }
                }
            }
            Kind::Null => {}
            _ => {
                let message = format!(
                    "{} must be a map, but is {}",
                    table.title(),
                    node.kind_name()
                );
                let known = names(section).collect::<Vec<_>>().join(", ");
                found.error(&node.position, message, format!("its keys are {known}"));
                return table;
            }
        }
        let missing = |entry: &&Entry| entry.required && !table.entries.contains_key(entry.name);
        for entry in section.keys.iter().filter(missing) {
            let message = format!("{} lacks the key `{}`", table.title(), entry.name);
            found.error(
                &node.position,
                message,
                format!("add `{}:`: {}", entry.name, entry.kind.form()),
            );
        }
        table
    }

    fn unknown(&self, key: &Key, value: &Node, found: &mut Findings) {
        // The value of a misspelt key may be a plugin's configuration.
        let compound = matches!(value.kind, Kind::Map(_) | Kind::Seq(_));
        if compound || std::ptr::eq(self.section, &raw const reference::PLUGIN) {
            found.sources.hide(value);
        }
        let message = match self.path.as_str() {
            "" => format!("unknown key {}", quoted(&key.name)),
            path => format!("unknown key {} in `{path}`", quoted(&key.name)),
        };
        let elsewhere = || {
            let mut others = reference::SECTIONS.into_iter();
            others.find(|section| !section.name.is_empty() && section.key(&key.name).is_some())
        };
        let help = match nearest(&key.name, names(self.section)) {
            Some(name) => format!("did you mean `{name}`?"),
            None => match elsewhere() {
                Some(section) => format!("`{}` belongs under `{}`", key.name, section.name),
                None => format!(
                    "known keys are {}",
                    names(self.section).collect::<Vec<_>>().join(", ")
                ),
            },
        };
        found.error(&key.position, message, help);
    }

    fn title(&self) -> String {
        if self.path.is_empty() {
            "the file".to_owned()
        } else {
            format!("`{}`", self.path)
        }
    }

    /// The name of a key of this map in messages.
    pub(crate) fn dotted(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// The node of a key.
    pub(crate) fn node(&self, name: &str) -> Option<&'a Node> {
        self.entries.get(name).copied()
    }

    /// Opens the section under a key; an absent section is read as an empty map.
    pub(crate) fn table(
        &self,
        name: &str,
        section: &'static Section,
        found: &mut Findings,
    ) -> Self {
        let path = self.dotted(name);
        match self.node(name) {
            Some(node) => Table::open(node, section, path, found),
            None => Self {
                section,
                path,
                entries: HashMap::new(),
                position: self.position,
            },
        }
    }

    /// Reads the scalar of a key, if present. An error of `read` is recorded: text that follows the
    /// key's name, and the help; `read` gets the expected form for it.
    fn read<T>(
        &self,
        name: &str,
        found: &mut Findings,
        read: impl FnOnce(&'a Node, &str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let node = self.node(name)?;
        let form = self.section.key(name)?.kind.form();
        let result = match node.kind {
            Kind::Null => Err((
                " has no value".to_owned(),
                format!("write {form}, or leave the key out"),
            )),
            _ => read(node, &form),
        };
        result
            .map_err(|wrong| self.wrong(name, node, wrong, found))
            .ok()
    }

    fn wrong(&self, name: &str, node: &Node, (what, help): Wrong, found: &mut Findings) {
        let message = format!("`{}`{what}", self.dotted(name));
        found.error(&node.position, message, help);
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        self.section.key(name).and_then(|entry| entry.default)
    }

    /// A duration above zero.
    pub(crate) fn duration(&self, name: &str, found: &mut Findings) -> Duration {
        self.duration_or_off(name, found).unwrap_or_default()
    }

    /// A duration above zero, or `None` for `off`.
    pub(crate) fn duration_or_off(&self, name: &str, found: &mut Findings) -> Option<Duration> {
        let is_off = |node: &Node| matches!(&node.kind, Kind::String(text) if text == "off");
        let may_be_off = matches!(self.section.key(name)?.kind, reference::Kind::DurationOrOff);
        if may_be_off && self.node(name).is_some_and(is_off) {
            return None;
        }
        let default = || units::duration(self.default(name)?).ok();
        self.duration_if_any(name, found).or_else(default)
    }

    /// A duration above zero; `None` when the key is absent, even if the reference has a default.
    pub(crate) fn duration_if_any(&self, name: &str, found: &mut Findings) -> Option<Duration> {
        self.read(name, found, |node, form| {
            let text = match &node.kind {
                Kind::String(text) => text.clone(),
                Kind::Int(number) => number.to_string(),
                _ => return Err(mistyped(node, form)),
            };
            match units::duration(&text) {
                Ok(Duration::ZERO) => Err((" is zero".to_owned(), format!("write {form}"))),
                Ok(duration) => Ok(duration),
                Err(error) => {
                    let or_off = if form.ends_with("or off") {
                        ", or off"
                    } else {
                        ""
                    };
                    let what = format!(": {} {}", quoted(&text), error.message);
                    Err((what, error.help + or_off))
                }
            }
        })
    }

    /// A whole number within the bounds of the reference; `None` when the key is absent and has no
    /// default, or is `auto` or `off` where allowed.
    pub(crate) fn count(&self, name: &str, found: &mut Findings) -> Option<u64> {
        let (least, most, word) = match self.section.key(name)?.kind {
            reference::Kind::Count(least, most) => (least, most, None),
            reference::Kind::CountOrAuto(least, most) => (least, most, Some("auto")),
            reference::Kind::CountOrOff(least, most) => (least, most, Some("off")),
            _ => return None,
        };
        let count = self.read(name, found, |node, form| match &node.kind {
            Kind::Int(number) => match u64::try_from(*number) {
                Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
                _ => Err((format!(" cannot be {number}"), format!("write {form}"))),
            },
            Kind::String(text) if Some(text.as_str()) == word => Ok(None),
            Kind::String(text) => Err((
                format!(" cannot be {}", quoted(text)),
                format!("write {form}, without quotes"),
            )),
            _ => Err(mistyped(node, form)),
        });
        count.unwrap_or_else(|| self.default(name)?.parse().ok())
    }

    /// One of the words of the reference.
    pub(crate) fn word(&self, name: &str, found: &mut Findings) -> &'static str {
        let words = match self.section.key(name).map(|entry| entry.kind) {
            Some(reference::Kind::OneOf(words)) => words,
            _ => &[],
        };
        let word = self.read(name, found, |node, form| {
            let (text, _) = text_of(node, form)?;
            let known = words.iter().find(|word| **word == text);
            known.copied().ok_or_else(|| {
                let all = words.join(", ");
                let help = match nearest(text, words.iter().copied()) {
                    Some(word) => format!("did you mean `{word}`? it is one of {all}"),
                    None => format!("write one of {all}"),
                };
                (format!(" cannot be {}", quoted(text)), help)
            })
        });
        word.or_else(|| self.default(name)).unwrap_or_default()
    }

    /// A non-empty text.
    pub(crate) fn text(&self, name: &str, found: &mut Findings) -> Option<(&'a str, &'a Position)> {
        self.read(name, found, text_of)
    }

    /// One text or a list of them; `None` when the key is absent.
    pub(crate) fn texts(
        &self,
        name: &str,
        found: &mut Findings,
    ) -> Option<Vec<(&'a str, &'a Position)>> {
        let items: Vec<_> = self.read(name, found, |node, form| {
            Ok(match &node.kind {
                Kind::Seq(items) => items
                    .iter()
                    .map(|item| (item, text_of(item, form)))
                    .collect(),
                _ => vec![(node, text_of(node, form))],
            })
        })?;
        let mut texts = Vec::with_capacity(items.len());
        for (item, text) in items {
            match text {
                Ok(text) => texts.push(text),
                Err(wrong) => self.wrong(name, item, wrong, found),
            }
        }
        Some(texts)
    }

    /// A name of an instance, a handler or a plugin.
    pub(crate) fn name(&self, name: &str, found: &mut Findings) -> Option<(&'a str, &'a Position)> {
        self.text(name, found)
            .filter(|(text, position)| check_name(text, position, found))
    }

    /// One such name or a list of them.
    pub(crate) fn names(&self, name: &str, found: &mut Findings) -> Vec<(&'a str, &'a Position)> {
        let mut texts = self.texts(name, found).unwrap_or_default();
        texts.retain(|(text, position)| check_name(text, position, found));
        texts
    }
}

/// What is wrong with a value: text that follows the key's name, and the help.
type Wrong = (String, String);

fn mistyped(node: &Node, form: &str) -> Wrong {
    let what = format!(" cannot be {}", node.kind_name());
    (what, format!("write {form}"))
}

fn text_of<'a>(node: &'a Node, form: &str) -> Result<(&'a str, &'a Position), Wrong> {
    match &node.kind {
        Kind::String(text) if text.is_empty() => {
            Err((" is empty".to_owned(), format!("write {form}")))
        }
        Kind::String(text) => Ok((text, &node.position)),
        Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {
            let help = "put it in quotes to make it text".to_owned();
            Err((mistyped(node, form).0, help))
        }
        _ => Err(mistyped(node, form)),
    }
}

/// The entries of a map of names; records invalid names.
pub(crate) fn named<'a>(
    title: &str,
    node: Option<&'a Node>,
    found: &mut Findings,
) -> Vec<(&'a Key, &'a Node)> {
    let Some(node) = node else { return Vec::new() };
    match &node.kind {
        Kind::Null => Vec::new(),
        Kind::Map(entries) => {
            let mut good = Vec::with_capacity(entries.len());
            for (key, value) in entries {
                if check_name(&key.name, &key.position, found) {
                    good.push((key, value));
                }
            }
            good
        }
        _ => {
            let message = format!(
                "`{title}` must be a map of names, but is {}",
                node.kind_name()
            );
            found.error(
                &node.position,
                message,
                format!("write `{title}:` and below it `NAME:`"),
            );
            Vec::new()
        }
    }
}

fn names(section: &Section) -> impl Iterator<Item = &'static str> {
    section.keys.iter().map(|entry| entry.name)
}
