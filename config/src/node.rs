//! The document as a tree: every value with its position. No rules here; `yaml.rs` makes the nodes,
//! `table.rs` reads them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A position: file, line and column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The file, as named on the command line or by an `include:`.
    pub file: Arc<Path>,
    /// Line, from 1; 0: the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0: the file as a whole.
    pub column: u32,
}

impl Position {
    /// The position of a file as a whole (such as an unreadable one).
    pub fn whole(file: &Path) -> Self {
        Self {
            file: Arc::from(file),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Position {
    /// Prints `FILE:LINE:COLUMN`, or `FILE` for a file as a whole.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.line {
            0 => write!(out, "{file}"),
            line => write!(out, "{file}:{line}:{}", self.column),
        }
    }
}

/// One value of the document with its position.
///
/// Its `Debug` form has only position and kind: a value may be a secret.
#[derive(Clone, PartialEq)]
pub struct Node {
    /// The start of the value.
    pub position: Position,
    /// The value.
    pub kind: Kind,
}

/// A value.
#[derive(Clone, PartialEq)]
pub enum Kind {
    /// Nothing: `key:` with no value, `~`, `null`.
    Null,
    /// `true` or `false`; `yes` and `on` are strings.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// A finite number with a fraction or an exponent.
    Float(f64),
    /// Text, quoted or not.
    String(String),
    /// A list.
    Seq(Vec<Node>),
    /// Keys with their values, in the order of the file.
    Map(Vec<(Key, Node)>),
}

/// A key of a map with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key itself.
    pub name: String,
    /// Its position.
    pub position: Position,
}

impl Node {
    /// An empty map, for an absent value.
    pub fn empty_map(position: Position) -> Self {
        Self {
            position,
            kind: Kind::Map(Vec::new()),
        }
    }

    /// The value of a key, if this is a map with that key.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Map(entries) = &self.kind else {
            return None;
        };
        entries
            .iter()
            .find(|(key, _)| key.name == name)
            .map(|(_, value)| value)
    }

    /// The value as JSON, without positions: the configuration that a plugin gets.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => json_of_int(*value),
            Kind::Float(value) => Value::from(*value),
            Kind::String(value) => Value::String(value.clone()),
            Kind::Seq(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Kind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.name.clone(), value.to_json()))
                    .collect(),
            ),
        }
    }

    /// The node of a JSON pointer (RFC 6901), or the deepest existing one on its path: for a
    /// missing `/upstreams/0/address`, the upstream.
    pub fn at_pointer(&self, json_pointer: &str) -> &Self {
        let mut deepest = self;
        for step in json_pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let next = match &deepest.kind {
                Kind::Seq(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
                Kind::Map(_) => deepest.get(&step),
                _ => None,
            };
            match next {
                Some(node) => deepest = node,
                None => break,
            }
        }
        deepest
    }

    /// The type of the value in messages: `a list`, `a number`.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "true or false",
            Kind::Int(_) => "a number",
            Kind::Float(_) => "a number with a fraction",
            Kind::String(_) => "text",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

/// JSON has no integers above 64 bits; YAML input has none either.
fn json_of_int(value: i128) -> serde_json::Value {
    if let Ok(value) = u64::try_from(value) {
        return value.into();
    }
    match i64::try_from(value) {
        Ok(value) => value.into(),
        Err(_) => value.to_string().into(),
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {}", self.kind_name(), self.position)
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Null => "Null",
            Self::Bool(_) => "Bool",
            Self::Int(_) => "Int",
            Self::Float(_) => "Float",
            Self::String(_) => "String",
            Self::Seq(_) => "Seq",
            Self::Map(_) => "Map",
        };
        out.write_str(name)
    }
}
