//! The licences of all that is linked in: each crate with its version, its licence and the text of that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::output_of;
use crate::plugins;
use crate::workspace::Workspace;

/// How the files begin in which authors put licences and notices.
const BEGINNINGS: &[&str] = &[
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// A crate of somebody else.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Foreign {
    name: String,
    version: String,
    licence: String,
}

/// Writes `THIRD-PARTY` into the folder.
///
/// # Errors
/// Cargo cannot say where the sources of a crate are, or a file cannot be read or written.
pub(crate) fn write(workspace: &Workspace, folder: &Path) -> Result<()> {
    let metadata = workspace.metadata(&[])?;
    let mut notices = Notices::default();
    for each in linked_in(workspace)? {
        let folder = folder_of(&metadata, &each)
            .with_context(|| format!("where is {} {}?", each.name, each.version))?;
        notices.add(&each, &texts(&folder)?);
    }
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(folder.join("THIRD-PARTY"), notices.written())?;
    Ok(())
}

/// The crates of others in the programs and plugins, sorted.
fn linked_in(workspace: &Workspace) -> Result<BTreeSet<Foreign>> {
    let mut tree = workspace.cargo();
    tree.args([
        "tree",
        "--locked",
        "--edges=normal",
        "--prefix=none",
        "--format={p}|{l}",
    ]);
    tree.args(["--package=polyportd", "--package=polyportctl"]);
    for name in plugins::bundled(workspace)? {
        tree.arg(format!("--package=polyport-{name}"));
    }
    let text = output_of(&mut tree).context("cargo tree")?;
    Ok(text.lines().filter_map(foreign).collect())
}

/// A crate out of a line such as `bytes v1.11.1|MIT`; those of this repository name their folder, and are ours.
fn foreign(line: &str) -> Option<Foreign> {
    let (package, licence) = line.split_once('|')?;
    let (name, version) = package.split_once(" v")?;
    let (version, rest) = version.split_once(' ').unwrap_or((version, ""));
    if rest.starts_with("(/") {
        return None;
    }
    Some(Foreign {
        name: name.to_owned(),
        version: version.to_owned(),
        // `(*)` says that cargo has shown what is below it already.
        licence: licence.trim_end_matches(" (*)").to_owned(),
    })
}

/// Where cargo has the sources of a crate.
fn folder_of(metadata: &Value, each: &Foreign) -> Option<PathBuf> {
    let packages = metadata.get("packages")?.as_array()?;
    let is_it = |package: &&Value| {
        package.get("name").is_some_and(|name| *name == *each.name)
            && package
                .get("version")
                .is_some_and(|version| *version == *each.version)
    };
    let manifest = packages
        .iter()
        .find(is_it)?
        .get("manifest_path")?
        .as_str()?;
    Path::new(manifest).parent().map(Path::to_owned)
}

/// The licences and notices of a crate by the name of their file.
fn texts(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_one = BEGINNINGS
            .iter()
            .any(|begin| name.to_uppercase().starts_with(begin));
        if is_one && entry.file_type()?.is_file() && !name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).with_context(|| name.clone())?;
            texts.insert(name, text.replace("\r\n", "\n"));
        }
    }
    Ok(texts)
}

/// The file as it grows: each text once, under a number.
#[derive(Default)]
struct Notices {
    list: String,
    texts: Vec<String>,
}

impl Notices {
    fn add(&mut self, each: &Foreign, texts: &BTreeMap<String, String>) {
        let mut numbers = Vec::new();
        for text in texts.values() {
            let known = self.texts.iter().position(|known| known == text);
            let at = known.unwrap_or_else(|| {
                self.texts.push(text.clone());
                self.texts.len() - 1
            });
            numbers.push(format!("[{}]", at + 1));
        }
        if numbers.is_empty() {
            // Its manifest is all that it says; the texts of these licences are below all the same.
            numbers.push("no text of its own".to_owned());
        }
        let Foreign {
            name,
            version,
            licence,
        } = each;
        self.list += &format!("{name} {version}: {licence}  {}\n", numbers.join(" "));
    }

    fn written(&self) -> String {
        let mut out = format!(
            "Libraries in the programs and plugins of Polyport, each with its licence and the texts that come with it.\n\
             The standard library of Rust is in there too: MIT OR Apache-2.0, https://www.rust-lang.org/.\n\n{}",
            self.list
        );
        for (at, text) in self.texts.iter().enumerate() {
            out += &format!("\n---- [{}] ----\n\n{}\n", at + 1, text.trim());
        }
        out
    }
}
