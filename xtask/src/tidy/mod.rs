//! `cargo xtask tidy`: reads the repository as text and holds it to the rules of CONTRIBUTING.md
//! that no compiler knows. One file for each kind of reading matter.

// the kinds
mod rust;
mod reach;
mod headers;
mod folders;
mod dependencies;
mod words;

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

/// Reads the whole repository.
///
/// # Errors
/// A file cannot be read, or a rule is broken; every finding is printed.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let tree = Tree::read(&workspace.root)?;
    let findings = tree.findings();
    for finding in &findings {
        eprintln!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files are well", tree.files.len());
        return Ok(());
    }
    bail!(
        "{} breaches of the rules in CONTRIBUTING.md",
        findings.len()
    )
}

/// The text files of the repository by their path from its root, with `/` between folders.
#[derive(Debug, Default)]
struct Tree {
    files: BTreeMap<String, String>,
}

/// A broken rule and its place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    /// From 1; 0 is the file as a whole.
    line: usize,
    message: String,
}

impl Tree {
    fn read(root: &Path) -> Result<Self> {
        let mut tree = Self::default();
        tree.read_folder(root, "")?;
        Ok(tree)
    }

    fn read_folder(&mut self, folder: &Path, prefix: &str) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            let kind = entry.file_type()?;
            if kind.is_dir() && !is_skipped(&name) {
                self.read_folder(&entry.path(), &format!("{path}/"))?;
            } else if kind.is_file() && is_text(&name) {
                let text = fs::read_to_string(entry.path()).with_context(|| path.clone())?;
                self.files.insert(path, text);
            }
        }
        Ok(())
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (path, text) in &self.files {
            words::check(path, text, &mut findings);
            if path.ends_with(".rs") {
                rust::check(path, text, &mut findings);
            }
            if path.ends_with(".h") {
                headers::check(path, text, &mut findings);
            }
        }
        reach::check(self, &mut findings);
        folders::check(self, &mut findings);
        dependencies::check(self, &mut findings);
        findings.sort();
        findings.dedup();
        findings
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "{}: {}", self.file, self.message),
            line => write!(out, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Adds what is to be said about a line of a file; line 0 is the whole file.
fn say(findings: &mut Vec<Finding>, file: &str, line: usize, message: impl Into<String>) {
    findings.push(Finding {
        file: file.to_owned(),
        line,
        message: message.into(),
    });
}

/// Build output, version control, packages and what an editor keeps.
fn is_skipped(folder: &str) -> bool {
    folder == "target" || folder == "dist" || (folder.starts_with('.') && folder != ".ci")
}

fn is_text(name: &str) -> bool {
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    ["rs", "h", "c", "md", "toml", "yaml", "json", "sh", "txt"].contains(&ending)
        || ["run", "Containerfile"].contains(&name)
}

/// The text with comments and strings blanked out, each character where it was. Good for Rust
/// and C.
fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = blank_length(rest, out.chars().next_back());
        let (blanked, after) = rest
            .split_at_checked(length.max(first.len_utf8()))
            .unwrap_or((rest, ""));
        if length == 0 {
            out.push(first);
        } else {
            blanked
                .bytes()
                .for_each(|byte| out.push(if byte == b'\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

/// How long the comment or string is that the text begins with; 0 if it begins with code.
fn blank_length(text: &str, before: Option<char>) -> usize {
    let up_to = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    let in_word =
        before.is_some_and(|each| each.is_alphanumeric() || each == '_') && before != Some('b');
    match text.as_bytes() {
        [b'/', b'/', ..] => text.find('\n').unwrap_or(text.len()),
        [b'/', b'*', ..] => up_to("*/"),
        [b'"', ..] => string_length(text),
        // Character literals, not the tick of a lifetime.
        [b'\'', b'"', b'\'', ..] => 3,
        [b'\'', b'\\', b'"' | b'\'', b'\'', ..] => 4,
        [b'r', b'"' | b'#', ..] if !in_word => raw_length(text),
        _ => 0,
    }
}

/// How long a raw string at the start of the text is; 0 for a raw identifier.
fn raw_length(text: &str) -> usize {
    let hashes = text
        .bytes()
        .skip(1)
        .take_while(|byte| *byte == b'#')
        .count();
    let opening = hashes + 2;
    let inside = text
        .get(opening - 1..)
        .and_then(|rest| rest.strip_prefix('"'));
    let end = format!("\"{}", "#".repeat(hashes));
    inside.map_or(0, |inside| {
        opening + inside.find(&end).map_or(inside.len(), |at| at + end.len())
    })
}

/// How long a string literal at the start of the text is, with both quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, each) in text.char_indices().skip(1) {
        match each {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The lines with their numbers from 1.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(at, line)| (at + 1, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a rule says about one file, without the file's name.
    pub(super) fn said(check: impl Fn(&str, &str, &mut Vec<Finding>), text: &str) -> Vec<String> {
        said_of(check, "daemon/src/x.rs", text)
    }

    pub(super) fn said_of(
        check: impl Fn(&str, &str, &mut Vec<Finding>),
        path: &str,
        text: &str,
    ) -> Vec<String> {
        let mut findings = Vec::new();
        check(path, text, &mut findings);
        findings
            .iter()
            .map(|found| format!("{}: {}", found.line, found.message))
            .collect()
    }

    /// A tree of these files.
    pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        Tree {
            files: files.collect(),
        }
    }

    #[test]
    fn comments_and_strings_are_blanked_and_lines_stay() {
        let text = "a // b\n\"c \\\" d\" e /* f\ng */ h '\"' i r#\"j \" k\"# l '\\\"' r#m";
        let kept: Vec<String> = code_only(text)
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(kept, ["a", "e", "hilr#m"]);
    }

    #[test]
    fn this_repository_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let findings = Tree::read(root).unwrap().findings();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}\n", lines.join("\n"));
    }
}
