//! The direction inside `daemon/src`: `main -> cli -> control -> data -> common`, and in `data` no
//! stage names another.

use super::{Finding, code_only, numbered, say};

/// From the top down: a layer names itself and what comes after it.
const LAYERS: &[&str] = &["main", "cli", "control", "data", "common"];

/// The way of one byte. Only what is in `data` and no stage itself puts stages together.
const STAGES: &[&str] = &[
    "accept", "admit", "classify", "dispatch", "frame", "handle", "reply", "shut",
];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let Some(inside) = path.strip_prefix("daemon/src/") else {
        return;
    };
    let home = module_of(inside);
    for (line, named) in named_modules(text, &home) {
        let Some(message) = breach(&home, &named) else {
            continue;
        };
        say(findings, path, line, message);
    }
}

/// `data/accept/tcp.rs` is `data::accept::tcp`; `data/mod.rs` is `data`.
fn module_of(inside: &str) -> Vec<String> {
    let path = inside.trim_end_matches(".rs");
    let path = path.trim_end_matches("/mod");
    let root = path == "lib";
    if root {
        Vec::new()
    } else {
        path.split('/').map(str::to_owned).collect()
    }
}

fn breach(home: &[String], named: &[String]) -> Option<String> {
    let rank = |path: &[String]| {
        let layer = path.first()?;
        LAYERS.iter().position(|name| name == layer)
    };
    let (from, to) = (rank(home)?, rank(named)?);
    if to < from {
        let (home, named) = (home.first()?, named.first()?);
        return Some(format!("{home} names {named}, which is above it"));
    }
    let (home, named) = (stage(home)?, stage(named)?);
    (home != named).then(|| format!("the stage {home} names the stage {named}"))
}

fn stage(path: &[String]) -> Option<&str> {
    match path {
        [layer, stage, ..] if layer == "data" && STAGES.contains(&stage.as_str()) => Some(stage),
        _ => None,
    }
}

/// Every module that the text names from the crate's root or upwards, with its line.
fn named_modules(text: &str, home: &[String]) -> Vec<(usize, Vec<String>)> {
    let code = code_only(text);
    let mut named = Vec::new();
    let mut group: Option<Vec<String>> = None;
    for (line, text) in numbered(&code) {
        // A group that goes over several lines: each of them goes on with what it began with.
        if let Some(start) = &group {
            named.extend(grouped(start, text).into_iter().map(|path| (line, path)));
        }
        if text.contains('}') {
            group = None;
        }
        for (base, rest) in starts(text, home) {
            let (path, after) = segments(rest);
            let start = [base, path].concat();
            if let Some(inner) = after.strip_prefix('{') {
                named.extend(grouped(&start, inner).into_iter().map(|path| (line, path)));
                group = (!inner.contains('}')).then_some(start);
            } else {
                named.push((line, start));
            }
        }
    }
    named
}

/// The places where a path begins: what it begins with, and the text after that.
fn starts<'a>(text: &'a str, home: &[String]) -> Vec<(Vec<String>, &'a str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = text.get(at + "crate::".len()..).unwrap_or_default();
        found.push((Vec::new(), rest));
    }
    for (at, _) in text.match_indices("super::") {
        if text.get(..at).unwrap_or_default().ends_with("::") {
            continue;
        }
        let mut base = home.to_vec();
        let mut rest = text.get(at..).unwrap_or_default();
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        found.push((base, rest));
    }
    found
}

/// What a `{a::b, c}` names, as far as one line shows it.
fn grouped(start: &[String], text: &str) -> Vec<Vec<String>> {
    let inner = text.split('}').next().unwrap_or_default();
    let items = inner
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    items
        .map(|item| [start, &segments(item).0].concat())
        .collect()
}

/// `accept::tcp::Listener;` begins with the names `accept`, `tcp`, `Listener`; `;` comes after them.
fn segments(text: &str) -> (Vec<String>, &str) {
    let end = text.find(|each: char| !(each.is_alphanumeric() || "_:".contains(each)));
    let (path, after) = text
        .split_at_checked(end.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    (
        path.split("::")
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
        after,
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::said_of;
    use super::*;

    fn said(inside: &str, text: &str) -> Vec<String> {
        said_of(check, &format!("daemon/src/{inside}"), text)
    }

    #[test]
    fn names_go_down() {
        assert!(said("control/boot.rs", "use crate::data::service::Service;").is_empty());
        assert!(said("data/service.rs", "use crate::common::ids::StreamId;").is_empty());
        assert!(said("lib.rs", "use crate::control::boot;").is_empty());
        let up = "1: data names control, which is above it";
        assert_eq!(said("data/service.rs", "use crate::control::boot;"), [up]);
        assert_eq!(
            said("data/reply/queue.rs", "let x = crate::control::boot();"),
            [up]
        );
        let up = "1: common names data, which is above it";
        assert_eq!(said("common/ids.rs", "use crate::data;"), [up]);
    }

    #[test]
    fn comments_name_freely() {
        assert!(said("common/ids.rs", "// crate::data gives them out").is_empty());
    }

    #[test]
    fn a_stage_names_no_other() {
        assert!(said("data/mod.rs", "use crate::data::accept::tcp;").is_empty());
        assert!(said("data/engine/turn.rs", "use crate::data::handle::stream;").is_empty());
        assert!(said("data/accept/tcp.rs", "use super::bind::Bound;").is_empty());
        let other = ["1: the stage accept names the stage handle"];
        assert_eq!(
            said("data/accept/tcp.rs", "use crate::data::handle::stream;"),
            other
        );
        assert_eq!(
            said("data/accept/tcp.rs", "use super::super::handle::stream;"),
            other
        );
        assert_eq!(
            said("data/accept/mod.rs", "use super::handle::stream;"),
            other
        );
    }

    #[test]
    fn groups_are_read_over_lines() {
        let text = "use crate::{\n    common::ids,\n    control::boot,\n};\nuse std::fmt;\n";
        assert_eq!(
            said("data/mod.rs", text),
            ["3: data names control, which is above it"]
        );
        let text = "use crate::data::{accept::tcp, shut};";
        assert_eq!(said("data/reply/queue.rs", text).len(), 2);
    }
}
