//! The `plugins:` section: instances (handlers with their configuration) and their start order.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::path::PathBuf;

use crate::faults::quoted;
use crate::name::is_name;
use crate::nearest::nearest;
use crate::node::{Node, Position};
use crate::reference;
use crate::service::Service;
use crate::table::{Findings, Table, named};

/// A handler with its configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Instance {
    /// Its name under `plugins:`, or the handler name of a service if implicit.
    pub name: String,
    /// Its plugin.
    pub library: Library,
    /// The handler, if the plugin has several.
    pub handler: Option<String>,
    /// The instances that start before this one and stop after it.
    pub after: Vec<String>,
    /// The configuration for the plugin; an empty map if absent.
    pub config: Node,
    /// Its name under `plugins:`, or the handler name of a service if implicit.
    pub position: Position,
    /// Not declared under `plugins:`: implied by the handler of a service.
    pub implicit: bool,
}

/// The plugin of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// A name to look up on the plugin path: `kv` finds `libpolyport_kv.so` or `kv.so`.
    Name(String),
    /// An absolute path.
    Path(PathBuf),
}

/// An instance while it is read; `after` with positions.
pub(crate) struct Draft {
    instance: Instance,
    after: Vec<(String, Position)>,
}

/// Reads the section.
pub(crate) fn check(node: Option<&Node>, found: &mut Findings) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (key, node) in named("plugins", node, found) {
        let path = format!("plugins.{}", key.name);
        let table = Table::open(node, &reference::PLUGIN, path, found);
        let config = config(&table, found);
        let after = table.names("after", found);
        let after: Vec<_> = after
            .iter()
            .map(|(name, at)| ((*name).to_owned(), (*at).clone()))
            .collect();
        let handler = table
            .name("handler", found)
            .map(|(name, _)| name.to_owned());
        // A missing library is recorded; the name is kept so that other instances can refer to it.
        let library = library(&table, found).unwrap_or_else(|| Library::Name(key.name.clone()));
        let instance = Instance {
            name: key.name.clone(),
            library,
            handler,
            after: after.iter().map(|(name, _)| name.clone()).collect(),
            config,
            position: key.position.clone(),
            implicit: false,
        };
        drafts.push(Draft { instance, after });
    }
    drafts
}

fn config(table: &Table<'_>, found: &mut Findings) -> Node {
    match table.node("config") {
        Some(node) => {
            found.sources.hide(node);
            match node.kind {
                crate::Kind::Null => Node::empty_map(node.position.clone()),
                _ => node.clone(),
            }
        }
        None => Node::empty_map(table.position.clone()),
    }
}

fn library(table: &Table<'_>, found: &mut Findings) -> Option<Library> {
    let (text, position) = table.text("library", found)?;
    if text.starts_with('/') {
        return Some(Library::Path(PathBuf::from(text)));
    }
    if is_name(text) {
        return Some(Library::Name(text.to_owned()));
    }
    let file = text.rsplit('/').next().unwrap_or_default();
    let bare = file.strip_suffix(".so").unwrap_or(file);
    let bare = bare.strip_prefix("libpolyport_").unwrap_or(bare);
    let help = if text.contains('/') {
        "write an absolute path, or a name that is looked up on daemon.plugin-path".to_owned()
    } else if is_name(bare) {
        format!("write `{bare}`, which is looked up on daemon.plugin-path, or an absolute path")
    } else {
        "names are lower-case letters, digits, `-` and `_`".to_owned()
    };
    found.error(
        position,
        format!(
            "{} is neither the name of a plugin nor an absolute path",
            quoted(text)
        ),
        help,
    );
    None
}

/// Adds an instance for each service whose handler is no declared instance. Its position is that of
/// the service's `handler:`, where a missing plugin is reported.
pub(crate) fn add_implicit(drafts: &mut Vec<Draft>, services: &[(Service, Position)]) {
    let mut known: HashSet<String> = drafts
        .iter()
        .map(|draft| draft.instance.name.clone())
        .collect();
    for (service, position) in services {
        if !known.insert(service.handler.clone()) {
            continue;
        }
        let instance = Instance {
            name: service.handler.clone(),
            library: Library::Name(service.handler.clone()),
            handler: None,
            after: Vec::new(),
            config: Node::empty_map(position.clone()),
            position: position.clone(),
            implicit: true,
        };
        drafts.push(Draft {
            instance,
            after: Vec::new(),
        });
    }
}

/// Sorts the instances in start order: each after those in its `after`, else in file order.
pub(crate) fn order(drafts: Vec<Draft>, found: &mut Findings) -> Vec<Instance> {
    let index: HashMap<&str, usize> = drafts
        .iter()
        .enumerate()
        .map(|(at, draft)| (draft.instance.name.as_str(), at))
        .collect();
    let before: Vec<Vec<usize>> = drafts
        .iter()
        .map(|draft| known_before(draft, &index, found))
        .collect();

    let mut waits: Vec<usize> = before.iter().map(Vec::len).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    for (at, before) in before.iter().enumerate() {
        for earlier in before {
            if let Some(list) = followers.get_mut(*earlier) {
                list.push(at);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = waits
        .iter()
        .enumerate()
        .filter(|(_, n)| **n == 0)
        .map(|(at, _)| Reverse(at))
        .collect();
    let mut sorted = Vec::with_capacity(drafts.len());
    while let Some(Reverse(at)) = ready.pop() {
        sorted.push(at);
        for next in followers.get(at).into_iter().flatten() {
            let Some(left) = waits.get_mut(*next) else {
                continue;
            };
            *left -= 1;
            if *left == 0 {
                ready.push(Reverse(*next));
            }
        }
    }
    if sorted.len() < drafts.len() {
        cycles(&drafts, &before, &waits, found);
    }
    let mut drafts: Vec<_> = drafts.into_iter().map(Some).collect();
    let mut take = |at: usize| drafts.get_mut(at)?.take().map(|draft| draft.instance);
    sorted.into_iter().filter_map(&mut take).collect()
}

/// The known instances of an `after`, each once; unknown ones are faults.
fn known_before(draft: &Draft, index: &HashMap<&str, usize>, found: &mut Findings) -> Vec<usize> {
    let mut before = Vec::new();
    for (name, position) in &draft.after {
        match index.get(name.as_str()) {
            Some(at) if before.contains(at) => {}
            Some(at) => before.push(*at),
            None if found.incomplete => {}
            None => {
                let message = format!("`after` names {}, which is no instance", quoted(name));
                let help = match nearest(name, index.keys().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("add `{name}:` under `plugins:`, or take it out of `after`"),
                };
                found.error(position, message, help);
            }
        }
    }
    before
}

/// Reports each cycle among the instances that never became ready.
fn cycles(drafts: &[Draft], before: &[Vec<usize>], waits: &[usize], found: &mut Findings) {
    let stuck = |at: &usize| waits.get(*at).is_some_and(|left| *left > 0);
    let mut seen = HashSet::new();
    for start in (0..drafts.len()).filter(stuck) {
        let mut way: Vec<usize> = Vec::new();
        let mut at = start;
        while seen.insert(at) {
            way.push(at);
            // Each stuck instance depends on a stuck one.
            let next = before
                .get(at)
                .into_iter()
                .flatten()
                .find(|next| stuck(next));
            let Some(next) = next else { break };
            at = *next;
        }
        let Some(first) = way.iter().position(|step| *step == at) else {
            continue;
        };
        let circle: Vec<&Draft> = way
            .iter()
            .skip(first)
            .chain([&at])
            .filter_map(|step| drafts.get(*step))
            .collect();
        let names: Vec<&str> = circle
            .iter()
            .map(|draft| draft.instance.name.as_str())
            .collect();
        let Some(draft) = circle.first() else {
            continue;
        };
        let message = format!("`after` goes round in a circle: {}", names.join(" -> "));
        found.error(
            &draft.instance.position,
            message,
            "take one of these out of an `after`",
        );
    }
}
