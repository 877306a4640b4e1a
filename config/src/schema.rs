//! The JSON Schema of a configuration file, derived from `reference.rs`. `schema.json` of this
//! crate is its output, for editors.

use serde_json::{Map, Value, json};

use crate::reference::{Entry, Kind, ROOT, Section};

/// The JSON Schema (draft 2020-12) of a configuration file.
pub fn schema() -> Value {
    let mut root = section(&ROOT);
    if let Value::Object(root) = &mut root {
        root.insert(
            "$schema".into(),
            "https://json-schema.org/draft/2020-12/schema".into(),
        );
        root.insert("title".into(), "Polyport configuration".into());
        let definitions = json!({
            "variable": {
                "description": "A value with ${VARIABLE} or ${VARIABLE:-default} in it.",
                "type": "string",
                "pattern": "\\$\\{",
            },
            "duration": {
                "type": "string",
                "pattern": "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$",
                "minLength": 2,
            },
            "name": { "type": "string", "pattern": NAME_PATTERN },
        });
        root.insert("$defs".into(), definitions);
    }
    root
}

/// The pattern of [`crate::is_name`].
const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_-]{0,62}$";

fn section(section: &Section) -> Value {
    let keys: Map<_, _> = section
        .keys
        .iter()
        .map(|entry| (entry.name.into(), key(entry)))
        .collect();
    let required: Vec<_> = section
        .keys
        .iter()
        .filter(|entry| entry.required)
        .map(|entry| entry.name)
        .collect();
    let nullable = if required.is_empty() {
        json!(["object", "null"])
    } else {
        json!("object")
    };
    let mut out = json!({
        "type": nullable,
        "description": section.doc,
        "properties": keys,
        "additionalProperties": false,
    });
    if let (Value::Object(out), false) = (&mut out, required.is_empty()) {
        out.insert("required".into(), required.into());
    }
    out
}

fn key(entry: &Entry) -> Value {
    let mut out = value(&entry.kind);
    if let Value::Object(out) = &mut out {
        let mut doc = entry.doc.to_owned();
        if let Some(default) = entry.default {
            doc.push_str(&format!(" Default: {default}."));
        }
        out.insert("description".into(), doc.into());
    }
    out
}

fn value(kind: &Kind) -> Value {
    let duration = json!({"$ref": "#/$defs/duration"});
    match kind {
        Kind::Section(inner) => section(inner),
        Kind::Named(inner) => json!({
            "type": ["object", "null"],
            "patternProperties": { NAME_PATTERN: section(inner) },
            "additionalProperties": false,
        }),
        Kind::Duration => or_variable(duration),
        Kind::DurationOrOff => or_variable(json!({"anyOf": [{"const": "off"}, duration]})),
        Kind::Count(least, most) => or_variable(count(*least, *most)),
        Kind::CountOrAuto(least, most) => {
            or_variable(json!({"anyOf": [{"const": "auto"}, count(*least, *most)]}))
        }
        Kind::CountOrOff(least, most) => {
            or_variable(json!({"anyOf": [{"const": "off"}, count(*least, *most)]}))
        }
        Kind::OneOf(words) => or_variable(json!({"enum": words})),
        Kind::Name => name(),
        Kind::Names => one_or_more(&name()),
        Kind::Library => text(),
        Kind::Path => text(),
        Kind::SocketOrOff => or_variable(
            json!({"anyOf": [{"const": "off"}, {"type": "string", "pattern": "^/.*[^/]$"}]}),
        ),
        Kind::Paths | Kind::Listen | Kind::Patterns => one_or_more(&text()),
        Kind::Any => json!({}),
    }
}

fn count(least: u64, most: u64) -> Value {
    json!({"type": "integer", "minimum": least, "maximum": most})
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1})
}

fn name() -> Value {
    or_variable(json!({"$ref": "#/$defs/name"}))
}

fn one_or_more(of: &Value) -> Value {
    json!({"anyOf": [of, {"type": "array", "items": of}]})
}

fn or_variable(of: Value) -> Value {
    json!({"anyOf": [of, {"$ref": "#/$defs/variable"}]})
}
