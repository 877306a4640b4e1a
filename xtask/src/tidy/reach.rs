//! Files that no compiler reads: `.rs` files that no `mod` line leads to.

use std::collections::BTreeSet;

use super::{Finding, Tree, code_only, say};

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut reached = BTreeSet::new();
    for root in roots(tree) {
        reach(tree, root, &mut reached);
    }
    for path in tree.files.keys().filter(|path| path.ends_with(".rs")) {
        if !reached.contains(path.as_str()) {
            say(
                findings,
                path,
                0,
                "no `mod` line leads here: it is never compiled",
            );
        }
    }
}

/// What cargo compiles by itself or by a `path = ` of a manifest.
fn roots(tree: &Tree) -> Vec<String> {
    let mut roots = Vec::new();
    let manifests = tree
        .files
        .iter()
        .filter(|(path, _)| path.ends_with("Cargo.toml"));
    for (path, manifest) in manifests {
        let folder = path.trim_end_matches("Cargo.toml");
        roots.extend(
            ["src/lib.rs", "src/main.rs", "build.rs"].map(|file| format!("{folder}{file}")),
        );
        let named = manifest
            .lines()
            .filter_map(|line| line.trim().strip_prefix("path = \""));
        roots.extend(named.filter_map(|rest| Some(joined(folder, rest.split_once('"')?.0))));
        for place in ["src/bin/", "tests/", "examples/", "benches/"] {
            let place = format!("{folder}{place}");
            let inside = |file: &str| {
                let rest = file.strip_prefix(&place)?;
                let is_root = !rest.contains('/') || rest.ends_with("/main.rs");
                (is_root && rest.ends_with(".rs")).then(|| file.to_owned())
            };
            roots.extend(tree.files.keys().filter_map(|file| inside(file)));
        }
    }
    roots.retain(|root| tree.files.contains_key(root));
    roots
}

/// Goes from a file to the files of its modules.
fn reach(tree: &Tree, file: String, reached: &mut BTreeSet<String>) {
    let Some(text) = tree.files.get(&file) else {
        return;
    };
    let children = children(&file, text);
    if reached.insert(file) {
        for child in children {
            reach(tree, child, reached);
        }
    }
}

/// Where the modules of a file may be; not all of these exist.
fn children(file: &str, text: &str) -> Vec<String> {
    let (folder, name) = file.rsplit_once('/').unwrap_or(("", file));
    let stem = name.trim_end_matches(".rs");
    let own = matches!(stem, "lib" | "main" | "mod" | "build");
    let mut found = Vec::new();
    for module in modules(text) {
        // The root of a test or an example keeps its modules beside it, as a `mod.rs` does.
        found.push(format!("{folder}/{module}.rs"));
        found.push(format!("{folder}/{module}/mod.rs"));
        if !own {
            found.push(format!("{folder}/{stem}/{module}.rs"));
            found.push(format!("{folder}/{stem}/{module}/mod.rs"));
        }
    }
    let named = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("#[path = \""));
    found.extend(
        named.filter_map(|rest| Some(joined(&format!("{folder}/"), rest.split_once('"')?.0))),
    );
    found
}

/// The modules that a text declares without a body.
fn modules(text: &str) -> Vec<String> {
    let code = code_only(text);
    let names = code.lines().filter_map(|line| {
        let (before, rest) = line.trim().split_once("mod ")?;
        let is_item = before.is_empty() || before.starts_with("pub") || before.ends_with("] ");
        let name = rest.trim().strip_suffix(';')?;
        is_item.then(|| name.to_owned())
    });
    names.collect()
}

/// A path in a folder, without its `..`.
fn joined(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(path.split('/')) {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    fn dead(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        check(&tree(files), &mut findings);
        findings.into_iter().map(|found| found.file).collect()
    }

    #[test]
    fn modules_are_followed_from_the_roots() {
        let files = [
            ("a/Cargo.toml", "[[example]]\npath = \"../x/echo.rs\"\n"),
            (
                "a/src/lib.rs",
                "pub mod one;\npub(crate) mod two;\n#[cfg(test)] mod tests;\n",
            ),
            ("a/src/one.rs", ""),
            ("a/src/two/mod.rs", "mod three;\n"),
            (
                "a/src/two/three.rs",
                "#[path = \"../odd.rs\"]\nmod other;\n",
            ),
            ("a/src/odd.rs", ""),
            ("a/src/tests.rs", ""),
            ("a/tests/outside.rs", "mod common;\n"),
            ("a/tests/common/mod.rs", ""),
            ("x/echo.rs", ""),
        ];
        assert!(dead(&files).is_empty(), "{:?}", dead(&files));
    }

    #[test]
    fn what_nothing_leads_to_is_found() {
        let files = [
            ("a/Cargo.toml", ""),
            (
                "a/src/main.rs",
                "mod one {\n}\n// mod two;\nuse x::mod_three;\n",
            ),
            ("a/src/one.rs", ""),
            ("a/src/two.rs", ""),
        ];
        assert_eq!(dead(&files), ["a/src/one.rs", "a/src/two.rs"]);
    }
}
