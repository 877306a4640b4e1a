//! Rules for one Rust file: how long it is, how it begins, what it is called, that it is compiled.

use super::{Findings, Tree, code};

/// Lines with code on them, tests left out.
const CODE_LINES_MAX: usize = 400;
/// Files that are still longer.
const PENDING: &[&str] = &[
    "config/tests/config/messages.rs",
    "config/tests/config/values.rs",
];
/// Lines of tests in the file that they test; beyond it they move to `tests.rs`.
const TEST_LINES_MAX: usize = 150;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "misc", "part2"];
/// The roots of the crates without `unsafe`, whatever the workspace's lints say.
const SAFE_ROOTS: &[&str] = &[
    "daemon/src/lib.rs",
    "daemon/src/main.rs",
    "daemon/api/src/lib.rs",
    "daemon/ctl/src/lib.rs",
    "daemon/ctl/src/main.rs",
    "config/src/lib.rs",
    "xtask/src/main.rs",
];

pub(super) fn check(tree: &Tree, path: &str, text: &str, findings: &mut Findings) {
    let Some(stem) = path.strip_suffix(".rs") else {
        return;
    };
    let mut say = |message: String| findings.push(format!("{path}: {message}"));
    if !text.starts_with("//!") {
        say("a file opens with `//!`: what lives here and what does not".to_owned());
    }
    for name in stem.split('/').filter(|name| EMPTY_NAMES.contains(name)) {
        say(format!("`{name}` names nothing: name what it owns"));
    }
    let (body, tests) = text
        .split_once("\n#[cfg(test)]\nmod tests {")
        .unwrap_or((text, ""));
    let (lines, tests) = (code(body).count(), tests.lines().count());
    if lines > CODE_LINES_MAX && !PENDING.contains(&path) {
        say(format!(
            "{lines} lines of code, at most {CODE_LINES_MAX}: split it by noun"
        ));
    }
    if tests > TEST_LINES_MAX {
        say(format!(
            "{tests} lines of tests, at most {TEST_LINES_MAX}: move them to tests.rs"
        ));
    }
    if SAFE_ROOTS.contains(&path) && !text.contains("#![forbid(unsafe_code)]") {
        say("this root says `#![forbid(unsafe_code)]`".to_owned());
    }
    if !is_compiled(tree, path, stem) {
        say("no `mod` line leads here: it is never compiled".to_owned());
    }
}

/// Cargo compiles it by itself, a manifest names it, or a file beside or above it has it as a module.
fn is_compiled(tree: &Tree, path: &str, stem: &str) -> bool {
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let (above, module) = match (name, folder.rsplit_once('/')) {
        ("mod", Some((above, module))) => (above, module),
        _ => (folder, name),
    };
    let is_root = matches!(name, "lib" | "main" | "build")
        || ["bin", "tests", "examples", "benches"]
            .iter()
            .any(|end| folder.ends_with(end));
    let is_named = |(file, text): (&String, &String)| match file.rsplit_once('/') {
        Some((_, "Cargo.toml")) => text.contains(&format!("/{name}.rs\"")),
        Some((parent, owner)) if owner.ends_with(".rs") && file != path => {
            let (owner, line) = (owner.trim_end_matches(".rs"), format!("mod {module};"));
            (parent == above || format!("{parent}/{owner}") == above) && text.contains(&line)
                || text.contains(&format!("#[path = \"{name}.rs\"]"))
                || text.contains(&format!("/{name}.rs\"]"))
        }
        _ => false,
    };
    is_root || tree.iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn findings_of(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::new();
        let files = tree(&[("daemon/src/lib.rs", "mod x;\nmod tests;\nmod utils;\n")]);
        check(&files, path, text, &mut findings);
        findings
    }

    #[test]
    fn a_file_opens_with_its_purpose_and_is_bounded() {
        let path = "daemon/src/x.rs";
        assert!(findings_of(path, "//! A thing.\nstruct Thing;\n").is_empty());
        assert!(findings_of(path, "struct Thing;\n")[0].contains("opens with"));
        let body = "let x = 1;\n\n// why\n".repeat(CODE_LINES_MAX);
        let tests = |lines| {
            format!(
                "\n#[cfg(test)]\nmod tests {{\n{}}}\n",
                "    //\n".repeat(lines)
            )
        };
        assert!(findings_of(path, &format!("//! A.\n{body}{}", tests(140))).is_empty());
        let over = findings_of(path, &format!("//! A.\nlet y = 1;\n{body}{}", tests(150)));
        assert!(over[0].contains("401 lines of code"), "{over:?}");
        assert!(over[1].contains("lines of tests"), "{over:?}");
    }

    #[test]
    fn a_file_is_named_safe_and_compiled() {
        assert!(findings_of("daemon/src/utils.rs", "//! A.\n")[0].contains("names nothing"));
        assert!(findings_of("daemon/src/lib.rs", "//! A.\n")[0].contains("forbid(unsafe_code)"));
        assert!(findings_of("daemon/src/gone.rs", "//! A.\n")[0].contains("never compiled"));
        for path in ["daemon/src/x/mod.rs", "daemon/src/x.rs", "a/tests/b.rs"] {
            assert!(findings_of(path, "//! A.\n").is_empty(), "{path}");
        }
    }
}
