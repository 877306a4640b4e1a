//! Reads the main file and its included files, and merges them by key into one tree.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::daemon;
use crate::document::Environment;
use crate::faults::{Fault, quoted};
use crate::name::is_name;
use crate::node::{Key, Kind, Node, Position};
use crate::overlay;
use crate::pattern::matching;
use crate::reference;
use crate::source;
use crate::table::{Findings, Table};
use crate::variables::{self, Lines};
use crate::yaml;

/// The key of overlay folders.
const OVERLAY: &str = "include-overlay";
/// The maximum depth of includes.
const DEPTH_MAX: usize = 8;
/// The maximum number of files.
const FILES_MAX: usize = 1_000;
/// The maximum size of all files together.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Reads a file and its included files. Faults are recorded; the result has all readable parts.
pub(crate) fn load_tree(path: &Path, environment: &Environment<'_>, found: &mut Findings) -> Node {
    let whole = Position::whole(path);
    let mut loader = Loader {
        environment,
        found,
        plugin_path: Vec::new(),
        open: Vec::new(),
        first: HashMap::new(),
        merged: Vec::new(),
        keys: HashMap::new(),
        bytes: 0,
    };
    loader.file(path, &whole);
    Node {
        position: whole,
        kind: Kind::Map(loader.merged),
    }
}

struct Loader<'a, 'b> {
    environment: &'a Environment<'b>,
    found: &'a mut Findings,
    /// Of the main file; decides on `when-plugin:`.
    plugin_path: Vec<PathBuf>,
    /// The include chain from the main file to the current one.
    open: Vec<PathBuf>,
    /// The files read so far, and the position that included each first.
    first: HashMap<PathBuf, Position>,
    /// The merged top level.
    merged: Vec<(Key, Node)>,
    /// The first position of each key of each section.
    keys: HashMap<(String, String), Position>,
    bytes: usize,
}

impl Loader<'_, '_> {
    /// Reads one included file, then its own includes.
    fn file(&mut self, path: &Path, included_at: &Position) {
        // A path that cannot be canonicalized cannot be opened either; reading reports why.
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if let Err(fault) = self.may_open(path, &canonical, included_at) {
            self.found.faults.push(fault);
            return;
        }
        self.first.insert(canonical.clone(), included_at.clone());
        let Some((text, node)) = self.parsed(path, included_at) else {
            self.found.incomplete = true;
            return;
        };
        let main = self.open.is_empty();
        self.open.push(canonical);
        self.document(node, &text, main);
        self.open.pop();
    }

    fn may_open(&self, path: &Path, canonical: &Path, included_at: &Position) -> Result<(), Fault> {
        let refuse = |message: String, help: &str| {
            Err(Fault::error(included_at.clone(), message).with_help(help))
        };
        let named = path.display();
        if self.open.iter().any(|open| open == canonical) {
            let files = self.open.iter().map(PathBuf::as_path).chain([canonical]);
            let names: Vec<String> = files
                .skip_while(|file| *file != canonical)
                .map(|file| file.display().to_string())
                .collect();
            let message = format!("files include each other: {}", names.join(" -> "));
            return refuse(message, "take one of these includes out");
        }
        if let Some(first) = self.first.get(canonical) {
            return refuse(
                format!("{named} is included twice; first at {first}"),
                "keep one of the two",
            );
        }
        if self.open.len() > DEPTH_MAX {
            let message = format!("{named} is included more than {DEPTH_MAX} files deep");
            return refuse(message, "include it from a file nearer to the main one");
        }
        if self.first.len() >= FILES_MAX {
            return refuse(
                format!("more than {FILES_MAX} files are included"),
                "join some of them",
            );
        }
        Ok(())
    }

    /// The text and the tree of a file.
    fn parsed(&mut self, path: &Path, included_at: &Position) -> Option<(Arc<str>, Node)> {
        let text = source::read(path, included_at)
            .map_err(|fault| self.found.faults.push(fault))
            .ok()?;
        let file: Arc<Path> = Arc::from(path);
        self.found.sources.add(&file, &text);
        self.bytes += text.len();
        if self.bytes > BYTES_MAX {
            let message =
                "the files of this configuration have more than 16 MiB together".to_owned();
            self.found
                .error(included_at, message, "leave some of them out");
            return None;
        }
        match yaml::parse(&text, &file) {
            Ok(node) => Some((text, node)),
            Err(faults) => {
                self.found.sources.hide_unparsed(&file, &text);
                self.found.faults.extend(faults);
                None
            }
        }
    }

    /// Merges a file's sections, then reads its includes.
    fn document(&mut self, mut node: Node, text: &str, main: bool) {
        if matches!(node.kind, Kind::Null) {
            return;
        }
        if !matches!(node.kind, Kind::Map(_)) {
            let message = format!("a configuration is a map, but this is {}", node.kind_name());
            self.found.error(
                &node.position,
                message,
                "begin with `services:` or another section",
            );
            return;
        }
        let lines = Lines::new(text);
        let variable = self.environment.variable;
        if let Some(wanted) = node.get("when-plugin") {
            let mut wanted = wanted.clone();
            variables::expand(&mut wanted, &lines, variable, self.found);
            if self.skips(&wanted, main) {
                return;
            }
        }
        variables::expand(&mut node, &lines, variable, self.found);
        if main {
            self.plugin_path = daemon::early_plugin_path(&node);
        }
        let includes = self.includes(&node);
        let Kind::Map(entries) = node.kind else {
            return;
        };
        for (key, value) in entries {
            if !["include", OVERLAY, "when-plugin"].contains(&key.name.as_str()) {
                self.section(key, value, main);
            }
        }
        for (path, position) in includes {
            if !self.found.undefined.contains(&position) {
                self.file(&path, &position);
            }
        }
    }

    /// Whether a file is skipped because its plugin is missing.
    fn skips(&mut self, wanted: &Node, main: bool) -> bool {
        if main {
            let message = "`when-plugin` is for included files".to_owned();
            self.found
                .error(&wanted.position, message, "take it out of the main file");
            return false;
        }
        let name = match &wanted.kind {
            Kind::String(name) if is_name(name) => name,
            _ => {
                let message = "`when-plugin` names no plugin".to_owned();
                self.found.error(
                    &wanted.position,
                    message,
                    "write the name of one plugin: when-plugin: kv",
                );
                return false;
            }
        };
        if (self.environment.plugin_exists)(name, &self.plugin_path) {
            return false;
        }
        let path: Vec<String> = self
            .plugin_path
            .iter()
            .map(|folder| folder.display().to_string())
            .collect();
        let message = format!(
            "this file is skipped: there is no plugin {} in {}",
            quoted(name),
            path.join(", ")
        );
        let help = "install the plugin, or remove the file";
        self.found
            .warnings
            .push(Fault::warning(wanted.position.clone(), message).with_help(help));
        true
    }

    /// Merges one top-level key of a file.
    fn section(&mut self, key: Key, value: Node, main: bool) {
        if reference::ROOT.key(&key.name).is_none() {
            // Kept for the unknown-key check.
            self.merged.push((key, value));
            return;
        }
        if !main {
            match key.name.as_str() {
                "daemon" => self.plugin_path_stays_in_main(&value),
                "admin" => self.admin_stays_in_main(&key),
                _ => {}
            }
        }
        let at = self
            .merged
            .iter()
            .position(|(known, _)| known.name == key.name);
        let Kind::Map(entries) = value.kind else {
            match at {
                None => self.merged.push((key, value)),
                Some(_) if matches!(value.kind, Kind::Null) => {}
                Some(_) => {
                    let message =
                        format!("`{}` must be a map, but is {}", key.name, value.kind_name());
                    self.found
                        .error(&value.position, message, "write its keys below it");
                }
            }
            return;
        };
        let mut fresh = Vec::with_capacity(entries.len());
        for (inner, node) in entries {
            let path = (key.name.clone(), inner.name.clone());
            if let Some(first) = self.keys.get(&path) {
                self.found.faults.push(yaml::duplicate(&inner, first));
                self.found.sources.hide(&node);
            } else {
                self.keys.insert(path, inner.position.clone());
                fresh.push((inner, node));
            }
        }
        let known = at
            .and_then(|at| self.merged.get_mut(at))
            .map(|(_, node)| node);
        match known {
            Some(Node {
                kind: Kind::Map(all),
                ..
            }) => all.extend(fresh),
            Some(node) if matches!(node.kind, Kind::Null) => node.kind = Kind::Map(fresh),
            // The first one is no map, which is its own fault.
            Some(_) => {}
            None => self.merged.push((
                key,
                Node {
                    position: value.position,
                    kind: Kind::Map(fresh),
                },
            )),
        }
    }

    fn plugin_path_stays_in_main(&mut self, daemon: &Node) {
        let Kind::Map(entries) = &daemon.kind else {
            return;
        };
        for (key, _) in entries.iter().filter(|(key, _)| key.name == "plugin-path") {
            let message = "`daemon.plugin-path` is in an included file".to_owned();
            let help = "move it to the main file: it decides which included files are skipped";
            self.found.error(&key.position, message, help);
        }
    }

    fn admin_stays_in_main(&mut self, key: &Key) {
        let message = "`admin` is in an included file".to_owned();
        let help = "move it to the main file: a file that is dropped in must not decide who commands the daemon";
        self.found.error(&key.position, message, help);
    }

    /// The included files of a file, patterns resolved.
    fn includes(&mut self, node: &Node) -> Vec<(PathBuf, Position)> {
        // Only these keys are read here; unknown keys are checked later.
        let asking = ["include", OVERLAY].into_iter().filter_map(|name| {
            let value = node.get(name)?.clone();
            let key = Key {
                name: name.to_owned(),
                position: value.position.clone(),
            };
            Some((key, value))
        });
        let only = Node {
            position: node.position.clone(),
            kind: Kind::Map(asking.collect()),
        };
        let table = Table::open(&only, &reference::ROOT, String::new(), self.found);
        let mut files = Vec::new();
        for (pattern, position) in table.texts("include", self.found).unwrap_or_default() {
            match matching(&beside(position, pattern), position) {
                Ok(found) => files.extend(found.into_iter().map(|file| (file, position.clone()))),
                Err(fault) => self.found.faults.push(fault),
            }
        }
        let folders = table.texts(OVERLAY, self.found).unwrap_or_default();
        let folders = folders
            .into_iter()
            .map(|(folder, position)| (beside(position, folder), position));
        match overlay::files(folders) {
            Ok(found) => files.extend(
                found
                    .into_iter()
                    .map(|(file, position)| (file, position.clone())),
            ),
            Err(fault) => self.found.faults.push(fault),
        }
        files
    }
}

/// Resolves a path relative to the file that names it.
fn beside(position: &Position, path: &str) -> PathBuf {
    position.file.parent().unwrap_or(Path::new("")).join(path)
}
