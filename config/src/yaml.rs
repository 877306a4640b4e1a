//! Text to tree. The only module that uses the YAML library; its errors get our own texts here.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_yaml::budget::BudgetBreach;
use serde_yaml::options::{DuplicateKeyPolicy, NonFiniteFloatPolicy};
use serde_yaml::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};

use crate::faults::{Fault, quoted};
use crate::node::{Key, Kind, Node, Position};

/// The maximum nesting of lists and maps, aliases followed.
const DEPTH_MAX: usize = 48;
/// The maximum number of values of a file, aliases followed; small enough that a hostile file takes
/// no noticeable time.
const NODES_MAX: usize = 100_000;
/// The maximum number of values from aliases.
const ALIAS_NODES_MAX: usize = 5_000;

/// Reads one file's text. An empty document is [`Kind::Null`].
///
/// # Errors
/// One fault where the text is no longer YAML, or one for each duplicate key of a map.
pub(crate) fn parse(text: &str, file: &Arc<Path>) -> Result<Node, Vec<Fault>> {
    let reader = Reader { text, file };
    match read(text, DuplicateKeyPolicy::Error) {
        Ok(root) => Ok(reader.node(root)),
        // The library stops at the first duplicate key; a second pass finds all.
        Err(error @ Error::DuplicateMappingKey { .. }) => {
            let mut faults = Vec::new();
            if let Ok(root) = read(text, DuplicateKeyPolicy::LastWins) {
                duplicates(&reader.node(root), &mut faults);
            }
            if faults.is_empty() {
                faults.push(reader.fault(&error));
            }
            Err(faults)
        }
        Err(error) => Err(vec![reader.fault(&error)]),
    }
}

fn read(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Spanned<Raw>, Error> {
    let options = serde_yaml::options! {
        budget: serde_yaml::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_recorded_anchor_events: NODES_MAX,
            max_recorded_anchor_bytes: 4 * 1024 * 1024,
            max_merge_keys: 1_000,
        },
        alias_limits: serde_yaml::alias_limits! {
            max_total_replayed_events: ALIAS_NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        duplicate_keys: duplicate_keys,
        strict_booleans: true,
        reject_unsupported_tags: true,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        with_snippet: false,
    };
    serde_yaml::from_str_with_options(text, options)
}

/// Records each duplicate key of a map, with the position of the first.
fn duplicates(node: &Node, faults: &mut Vec<Fault>) {
    match &node.kind {
        Kind::Seq(items) => items.iter().for_each(|item| duplicates(item, faults)),
        Kind::Map(entries) => {
            let mut seen: HashMap<&str, &Position> = HashMap::new();
            for (key, value) in entries {
                match seen.entry(&key.name) {
                    Entry::Occupied(first) => faults.push(duplicate(key, first.get())),
                    Entry::Vacant(free) => drop(free.insert(&key.position)),
                }
                duplicates(value, faults);
            }
        }
        _ => {}
    }
}

/// The fault of a duplicate key, in one map or across files.
pub(crate) fn duplicate(second: &Key, first: &Position) -> Fault {
    let message = format!("{} is given twice; first at {first}", quoted(&second.name));
    Fault::error(second.position.clone(), message).with_help("keep one of the two")
}

/// Converts the library's values and errors; knows the file.
struct Reader<'a> {
    text: &'a str,
    file: &'a Arc<Path>,
}

impl Reader<'_> {
    fn node(&self, raw: Spanned<Raw>) -> Node {
        // For an alias, the position of the anchor's value, where it can be fixed.
        let position = self.position(raw.defined);
        let kind = match raw.value {
            Raw::Scalar(Kind::Float(number)) => self.float(number, raw.defined),
            Raw::Scalar(kind) => kind,
            Raw::Seq(items) => Kind::Seq(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let position = self.position(key.defined);
                        (
                            Key {
                                name: key.value.0,
                                position,
                            },
                            self.node(value),
                        )
                    })
                    .collect(),
            ),
        };
        Node { position, kind }
    }

    /// The library reads `0660`, `.inf` and integers above 64 bits as floats. A plugin would get
    /// changed values, so they stay text as written.
    fn float(&self, number: f64, location: Location) -> Kind {
        let written = self.written(location).unwrap_or_default();
        let fraction = written.contains(['.', 'e', 'E']);
        if number.is_finite() && (fraction || written.is_empty()) {
            Kind::Float(number)
        } else {
            Kind::String(written.to_owned())
        }
    }

    fn written(&self, location: Location) -> Option<&str> {
        let span = location.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let length = usize::try_from(span.byte_len()?).ok()?;
        self.text.get(start..start.checked_add(length)?)
    }

    fn position(&self, location: Location) -> Position {
        let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
        Position {
            file: Arc::clone(self.file),
            line: bounded(location.line()),
            column: bounded(location.column()),
        }
    }

    fn fault(&self, error: &Error) -> Fault {
        let position = error
            .location()
            .map_or_else(|| Position::whole(self.file), |at| self.position(at));
        let at = usize::try_from(position.line)
            .unwrap_or(0)
            .saturating_sub(1);
        let line = self.text.lines().nth(at).unwrap_or_default();
        let (message, help) = in_words(error, line);
        Fault::error(position, message).with_help(help)
    }
}

/// The library's error as a message and its help. `line` is its line.
fn in_words(error: &Error, line: &str) -> (String, String) {
    // Within an alias the library wraps errors.
    let mut error = error;
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    let known = match error {
        Error::MultipleDocuments { .. } => Some((
            "a second document begins here",
            "a file is one document: take the `---` out, or use `include:`",
        )),
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => Some((
            "this is nested too deep",
            "48 levels are enough for everything",
        )),
        Error::Budget { .. } => Some((
            "the file has too many values",
            "split it and use `include:`, or use fewer aliases",
        )),
        Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => Some((
            "the aliases of this file grow too large",
            "write some of the values out",
        )),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            Some(("an alias refers to itself", "write the value out"))
        }
        Error::UnknownAnchor { .. } => Some((
            "an alias refers to an anchor that is not there",
            "a value that begins with * needs quotes: \"*.yaml\"",
        )),
        Error::NullIntoString { .. } => {
            Some(("a key cannot be empty", "write a name before the colon"))
        }
        Error::DuplicateMappingKey { .. } => {
            Some(("this key is given twice in one map", "keep one of the two"))
        }
        Error::Unexpected { .. } => Some(("a key must be plain text", "write NAME: VALUE")),
        _ => None,
    };
    if let Some((message, help)) = known {
        return (message.to_owned(), help.to_owned());
    }
    let error_text = UserMessageFormatter.format_message(error);
    let error_text: String = error_text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    (
        format!("this is no YAML: {error_text}"),
        likely_cause(&error_text, line).to_owned(),
    )
}

/// The help for the most common mistakes.
fn likely_cause(error_text: &str, line: &str) -> &'static str {
    let flow = line.contains(['[', '{']);
    if line.trim_start().starts_with('\t') || error_text.contains("tab") {
        "indent with spaces"
    } else if flow && line.contains("://[") {
        "within [ ] an address with [ ] needs quotes: [\"tcp://[::]:7007\"]"
    } else if flow && line.contains("${") {
        "within [ ] and { } a value with ${ } needs quotes: [\"${NAME}\"]"
    } else if error_text.contains("mapping values") {
        "a value with a colon and a space in it needs quotes; keys of one map begin in one column"
    } else if error_text.contains("tag") {
        "a value that begins with ! needs quotes"
    } else if error_text.contains("nesting") || error_text.contains("recursion") {
        "48 levels are enough for everything"
    } else {
        "look for a missing quote or bracket, or a wrong indentation, here or just above"
    }
}

/// A value without its position.
enum Raw {
    Scalar(Kind),
    Seq(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<KeyText>, Spanned<Self>)>),
}

/// A key as written: `80` and `true` are text here.
struct KeyText(String);

impl<'de> Deserialize<'de> for KeyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Null))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Bool(value)))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Int(value.into())))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Int(value.into())))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Float(value)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::String(value.to_owned())))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::Seq(items))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
