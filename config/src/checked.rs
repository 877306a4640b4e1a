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
    pub(crate) unknowable: HashSet<Position>,
}

impl Findings {
    pub(crate) fn error(&mut self, position: &Position, message: String, help: impl Into<String>) {
        if !self.unknowable.contains(position) {
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

    /// The scalar of a key, if present, and its form in the reference for the help of a fault.
    fn scalar(&self, name: &str, found: &mut Findings) -> Option<(&'a Node, String)> {
        let node = self.node(name)?;
        let form = self.section.key(name)?.kind.form();
        if matches!(node.kind, Kind::Null) {
            let message = format!("`{}` has no value", self.dotted(name));
            found.error(
                &node.position,
                message,
                format!("write {form}, or leave the key out"),
            );
            return None;
        }
        Some((node, form))
    }

    fn default(&self, name: &str) -> Option<&'static str> {
        self.section.key(name).and_then(|entry| entry.default)
    }

    fn mistyped(&self, name: &str, node: &Node, form: &str, found: &mut Findings) {
        let message = format!("`{}` cannot be {}", self.dotted(name), node.kind_name());
        found.error(&node.position, message, format!("write {form}"));
    }

    /// A duration above zero.
    pub(crate) fn duration(&self, name: &str, found: &mut Findings) -> Duration {
        let default = self
            .default(name)
            .and_then(|text| units::duration(text).ok());
        self.duration_if_any(name, found)
            .or(default)
            .unwrap_or_default()
    }

    /// A duration above zero, or `None` for `off`.
    pub(crate) fn duration_or_off(&self, name: &str, found: &mut Findings) -> Option<Duration> {
        if self
            .node(name)
            .is_some_and(|node| matches!(&node.kind, Kind::String(text) if text == "off"))
        {
            return None;
        }
        let default = self
            .default(name)
            .and_then(|text| units::duration(text).ok());
        self.duration_if_any(name, found).or(default)
    }

    /// A duration above zero; `None` when the key is absent, even if the reference has a default.
    pub(crate) fn duration_if_any(&self, name: &str, found: &mut Findings) -> Option<Duration> {
        let (node, form) = self.scalar(name, found)?;
        let text = match &node.kind {
            Kind::String(text) => text.clone(),
            Kind::Int(number) => number.to_string(),
            _ => {
                self.mistyped(name, node, &form, found);
                return None;
            }
        };
        match units::duration(&text) {
            Ok(Duration::ZERO) => {
                let message = format!("`{}` is zero", self.dotted(name));
                found.error(&node.position, message, format!("write {form}"));
                None
            }
            Ok(duration) => Some(duration),
            Err(error) => {
                let message = format!(
                    "`{}`: {} {}",
                    self.dotted(name),
                    quoted(&text),
                    error.message
                );
                let or_off = if form.ends_with("or off") {
                    ", or off"
                } else {
                    ""
                };
                found.error(&node.position, message, error.help + or_off);
                None
            }
        }
    }

    /// A whole number within the bounds of the reference; `None` when the key is absent and has no
    /// default, or is `auto` or `off` where allowed.
    pub(crate) fn count(&self, name: &str, found: &mut Findings) -> Option<u64> {
        let default = self.default(name).and_then(|text| text.parse().ok());
        let Some((node, form)) = self.scalar(name, found) else {
            return default;
        };
        let (least, most, word) = match self.section.key(name)?.kind {
            reference::Kind::Count(least, most) => (least, most, None),
            reference::Kind::CountOrAuto(least, most) => (least, most, Some("auto")),
            reference::Kind::CountOrOff(least, most) => (least, most, Some("off")),
            _ => return default,
        };
        match &node.kind {
            Kind::Int(number) => match u64::try_from(*number) {
                Ok(number) if (least..=most).contains(&number) => Some(number),
                _ => {
                    let message = format!("`{}` cannot be {number}", self.dotted(name));
                    found.error(&node.position, message, format!("write {form}"));
                    default
                }
            },
            Kind::String(text) if Some(text.as_str()) == word => None,
            Kind::String(text) => {
                let message = format!("`{}` cannot be {}", self.dotted(name), quoted(text));
                found.error(
                    &node.position,
                    message,
                    format!("write {form}, without quotes"),
                );
                default
            }
            _ => {
                self.mistyped(name, node, &form, found);
                default
            }
        }
    }

    /// One of the words of the reference.
    pub(crate) fn word(&self, name: &str, found: &mut Findings) -> &'static str {
        let default = self.default(name).unwrap_or_default();
        let Some(Entry {
            kind: reference::Kind::OneOf(words),
            ..
        }) = self.section.key(name)
        else {
            return default;
        };
        let Some((text, position)) = self.text(name, found) else {
            return default;
        };
        if let Some(word) = words.iter().find(|word| **word == text) {
            return word;
        }
        let message = format!("`{}` cannot be {}", self.dotted(name), quoted(text));
        let help = match nearest(text, words.iter().copied()) {
            Some(word) => format!("did you mean `{word}`? it is one of {}", words.join(", ")),
            None => format!("write one of {}", words.join(", ")),
        };
        found.error(position, message, help);
        default
    }

    /// A non-empty text.
    pub(crate) fn text(&self, name: &str, found: &mut Findings) -> Option<(&'a str, &'a Position)> {
        let (node, form) = self.scalar(name, found)?;
        self.text_of(name, node, &form, found)
    }

    fn text_of(
        &self,
        name: &str,
        node: &'a Node,
        form: &str,
        found: &mut Findings,
    ) -> Option<(&'a str, &'a Position)> {
        match &node.kind {
            Kind::String(text) if text.is_empty() => {
                let message = format!("`{}` is empty", self.dotted(name));
                found.error(&node.position, message, format!("write {form}"));
                None
            }
            Kind::String(text) => Some((text, &node.position)),
            Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {
                let message = format!("`{}` cannot be {}", self.dotted(name), node.kind_name());
                found.error(&node.position, message, "put it in quotes to make it text");
                None
            }
            _ => {
                self.mistyped(name, node, form, found);
                None
            }
        }
    }

    /// One text or a list of them; `None` when the key is absent.
    pub(crate) fn texts(
        &self,
        name: &str,
        found: &mut Findings,
    ) -> Option<Vec<(&'a str, &'a Position)>> {
        let (node, form) = self.scalar(name, found)?;
        let items = match &node.kind {
            Kind::Seq(items) => items.iter().collect(),
            _ => vec![node],
        };
        Some(
            items
                .into_iter()
                .filter_map(|item| self.text_of(name, item, &form, found))
                .collect(),
        )
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
