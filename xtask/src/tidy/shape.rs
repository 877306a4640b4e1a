//! Rules for how the files of a crate hang together: no type is spread over many files, and the
//! rooms of the data side form layers.

use std::collections::{BTreeMap, BTreeSet};

use super::{Findings, Tree, code};

/// Files in which one type may have methods.
const IMPL_FILES_MAX: usize = 3;
/// Types that still have more.
const PENDING: &[&str] = &[];
/// Its folders are rooms.
const ROOMS: &str = "daemon/data/src/";

pub(super) fn check(tree: &Tree, findings: &mut Findings) {
    let mut files: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (path, text) in tree.iter().filter(|(path, _)| is_source(path)) {
        let room = path
            .strip_prefix(ROOMS)
            .and_then(|rest| rest.split_once('/'));
        for (line, code) in code(text) {
            if let Some(owner) = implemented(code) {
                let krate = path.split("/src/").next().unwrap_or_default();
                files.entry((krate, owner)).or_default().insert(path);
            }
            let Some((room, _)) = room else { continue };
            uses.entry(room).or_default().extend(used_rooms(code));
            if room != "worker" && has_word(code, "Worker") {
                findings.push(format!("{path}:{line}: no room but worker/ names Worker"));
            }
        }
    }
    files.retain(|(_, owner), _| !PENDING.contains(owner));
    for ((_, owner), files) in files
        .iter()
        .filter(|(_, files)| files.len() > IMPL_FILES_MAX)
    {
        let list: Vec<&str> = files.iter().copied().collect();
        findings.push(format!(
            "{owner} has methods in {} files: {}",
            files.len(),
            list.join(" ")
        ));
    }
    findings.extend(circle(uses));
}

fn is_source(path: &str) -> bool {
    path.ends_with(".rs") && path.contains("src/") && !path.contains("tests")
}

/// The type of an `impl` block without a trait.
fn implemented(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let rest = match rest.strip_prefix('<') {
        Some(_) => rest.split_once("> ")?.1,
        None => rest.strip_prefix(' ')?,
    };
    let owner = rest
        .split(|each: char| !(each.is_alphanumeric() || each == '_'))
        .next()?;
    (!rest.contains(" for ")).then_some(owner)
}

/// The folders that a line names by their path from the root of the crate.
fn used_rooms(line: &str) -> impl Iterator<Item = &str> {
    let paths = line.split("crate::").skip(1);
    paths.filter_map(|path| {
        path.split(|each: char| !(each.is_lowercase() || each == '_'))
            .next()
    })
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|each: char| !(each.is_alphanumeric() || each == '_'))
        .any(|each| each == word)
}

/// Takes away rooms that use none of the others until none is left, or only circles.
fn circle(mut uses: BTreeMap<&str, BTreeSet<&str>>) -> Option<String> {
    loop {
        let rooms: BTreeSet<&str> = uses.keys().copied().collect();
        let before = uses.len();
        uses.retain(|room, used| used.iter().any(|used| used != room && rooms.contains(used)));
        if uses.len() == before {
            break;
        }
    }
    let rooms: Vec<&str> = uses.keys().copied().collect();
    (!rooms.is_empty()).then(|| format!("{ROOMS}: a circle of uses in {}", rooms.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn findings_of(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Findings::new();
        check(&tree(files), &mut findings);
        findings
    }

    #[test]
    fn rooms_form_layers() {
        let (shut, reply) = (
            "daemon/data/src/shut/mod.rs",
            "daemon/data/src/reply/queue.rs",
        );
        let down = (shut, "use crate::reply::Queue;\nuse crate::shut::X;\n");
        assert!(findings_of(&[down, (reply, "use crate::service::S;\n")]).is_empty());
        let both = findings_of(&[down, (reply, "use crate::shut::Reason;\n")]);
        assert_eq!(both, ["daemon/data/src/: a circle of uses in reply, shut"]);
        assert_eq!(findings_of(&[(reply, "fn f(w: &Worker) {}\n")]).len(), 1);
        assert!(findings_of(&[(reply, "// a Worker\nlet workers = WorkerEntry;\n")]).is_empty());
    }

    #[test]
    fn a_type_has_its_methods_in_few_files() {
        let text = "impl<'a, T: Ord> Thing<'a, T> {\n}\nimpl Clone for Other {\n}\n";
        let paths = ["a/src/1.rs", "a/src/2.rs", "a/src/3.rs", "b/src/4.rs"];
        assert!(findings_of(&paths.map(|path| (path, text))).is_empty());
        let paths = ["a/src/1.rs", "a/src/2.rs", "a/src/3.rs", "a/src/4.rs"];
        assert_eq!(findings_of(&paths.map(|path| (path, text))).len(), 1);
    }
}
