//! `cargo xtask tidy`: reads the repository as text and holds it to the rules of CONTRIBUTING.md
//! that no compiler and no linter knows. It looks at lines, and understands neither Rust nor C.

// one file for each kind of rule
mod rust;
mod names;
mod shape;
mod headers;
mod documents;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// The text files of the repository by their path from its root.
type Tree = BTreeMap<String, String>;

/// Broken rules, each with its place.
type Findings = Vec<String>;

const TEXTS: &[&str] = &[
    "rs",
    "h",
    "c",
    "md",
    "toml",
    "yaml",
    "json",
    "sh",
    "txt",
    "run",
    "Containerfile",
];

/// Reads the whole repository.
///
/// # Errors
/// A file cannot be read, or a rule is broken; every finding is printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = read(&workspace.root)?;
    let mut findings = Findings::new();
    for (path, text) in &tree {
        rust::check(&tree, path, text, &mut findings);
        names::check(path, text, &mut findings);
        headers::check(path, text, &mut findings);
        documents::check(&tree, path, text, &mut findings);
    }
    shape::check(&tree, &mut findings);
    documents::dependencies(&tree, &mut findings);
    for finding in &findings {
        eprintln!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} breaches of CONTRIBUTING.md", findings.len());
    }
    println!("tidy: {} files are well", tree.len());
    Ok(())
}

/// Everything that git has or would add.
fn read(root: &Path) -> Result<Tree> {
    let mut list = Command::new("git");
    list.current_dir(root)
        .args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let output = list.output().context("cannot run git")?;
    let mut tree = Tree::new();
    for path in String::from_utf8(output.stdout)?.lines() {
        let ending = path.rsplit(['.', '/']).next().unwrap_or_default();
        if TEXTS.contains(&ending)
            && let Ok(text) = fs::read_to_string(root.join(path))
        {
            tree.insert(path.to_owned(), text);
        }
    }
    Ok(tree)
}

/// The lines that hold code, with their numbers from 1 and without their comments. What stands in
/// a raw string over several lines is none.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_raw_string = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let was_in_raw_string = in_raw_string;
        in_raw_string = match line.rfind("r#\"") {
            Some(begin) => !line
                .get(begin + 3..)
                .is_some_and(|rest| rest.contains("\"#")),
            None => in_raw_string && !line.contains("\"#"),
        };
        let bare = line.trim_start();
        let is_comment = ["//", "/*", "* "].iter().any(|mark| bare.starts_with(mark));
        let code = line.split(" // ").next().unwrap_or_default().trim_end();
        (!was_in_raw_string && !is_comment && !code.is_empty()).then_some((at + 1, code))
    })
}

#[cfg(test)]
fn tree(files: &[(&str, &str)]) -> Tree {
    let files = files.iter();
    files
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
        .collect()
}
