//! Rules for one Rust file: how long it is, how it begins, what it is called.

use super::{Finding, code_only, say};

/// Lines with code on them, tests left out.
const CODE_LINES_MAX: usize = 400;
/// Lines of tests in the file that they test; beyond it they move to `tests.rs`.
const TEST_LINES_MAX: usize = 150;
/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "misc", "part2"];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !text.starts_with("//!") {
        say(
            findings,
            path,
            1,
            "a file opens with `//!`: what lives here and what does not",
        );
    }
    for part in path.trim_end_matches(".rs").split('/') {
        if EMPTY_NAMES.contains(&part) {
            say(
                findings,
                path,
                0,
                format!("`{part}` names nothing: name what it owns"),
            );
        }
    }
    let (code, tests) = counts(text);
    if code > CODE_LINES_MAX {
        say(
            findings,
            path,
            0,
            format!("{code} lines of code, at most {CODE_LINES_MAX}: split it by noun"),
        );
    }
    if tests > TEST_LINES_MAX {
        say(
            findings,
            path,
            0,
            format!("{tests} lines of tests, at most {TEST_LINES_MAX}: move them to tests.rs"),
        );
    }
    if must_forbid_unsafe(path) && !text.contains("#![forbid(unsafe_code)]") {
        say(
            findings,
            path,
            1,
            "this root says `#![forbid(unsafe_code)]`",
        );
    }
}

/// The rooms without `unsafe`, whatever the workspace's lints say.
fn must_forbid_unsafe(path: &str) -> bool {
    [
        "daemon/src/lib.rs",
        "daemon/src/main.rs",
        "daemon/api/src/lib.rs",
        "daemon/ctl/src/lib.rs",
        "daemon/ctl/src/main.rs",
        "config/src/lib.rs",
        "xtask/src/main.rs",
    ]
    .contains(&path)
}

/// Lines of code before, and lines after, the test module at the end.
fn counts(text: &str) -> (usize, usize) {
    let code = code_only(text);
    let lines: Vec<&str> = code.lines().collect();
    let tests_at = lines
        .windows(2)
        .position(|pair| matches!(pair, [gate, module] if is_gate(gate) && is_module(module)))
        .unwrap_or(lines.len());
    let (body, tests) = lines.split_at_checked(tests_at).unwrap_or((&lines, &[]));
    (
        body.iter().filter(|line| !line.trim().is_empty()).count(),
        tests.len(),
    )
}

fn is_gate(line: &str) -> bool {
    line.starts_with("#[cfg(test)]")
}

/// With its body in this file.
fn is_module(line: &str) -> bool {
    line.starts_with("mod ") && line.ends_with('{')
}

#[cfg(test)]
mod tests {
    use super::super::tests::{said, said_of};
    use super::*;

    #[test]
    fn a_file_says_what_it_is_first() {
        assert!(said(check, "//! A thing.\nstruct Thing;\n").is_empty());
        let late = said(check, "struct Thing;\n//! A thing.\n");
        assert!(
            late.len() == 1 && late[0].starts_with("1: a file opens"),
            "{late:?}"
        );
    }

    #[test]
    fn code_is_counted_without_comments_blanks_and_tests() {
        let body = "let x = 1;\n\n// why\n".repeat(CODE_LINES_MAX);
        let tests = "#[cfg(test)]\nmod tests {\n}\n";
        assert!(said(check, &format!("//! A.\n{body}{tests}")).is_empty());
        let over = said(check, &format!("//! A.\nlet y = 1;\n{body}{tests}"));
        assert!(
            over.len() == 1 && over[0].contains("401 lines of code"),
            "{over:?}"
        );
    }

    #[test]
    fn many_tests_want_a_file_of_their_own() {
        let tests = format!(
            "//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            "    //\n".repeat(148)
        );
        let said = said(check, &tests);
        assert!(
            said.len() == 1 && said[0].contains("151 lines of tests"),
            "{said:?}"
        );
        assert!(
            said_of(
                check,
                "x/tests.rs",
                &format!("//! A.\n{}", "//\n".repeat(900))
            )
            .is_empty()
        );
    }

    #[test]
    fn a_name_names_something() {
        for path in ["daemon/src/utils.rs", "daemon/src/helpers/id.rs"] {
            let said = said_of(check, path, "//! A.\n");
            assert!(
                said.len() == 1 && said[0].contains("names nothing"),
                "{said:?}"
            );
        }
    }

    #[test]
    fn the_safe_rooms_say_so() {
        let said = said_of(check, "daemon/src/lib.rs", "//! A.\n");
        assert!(
            said.len() == 1 && said[0].contains("forbid(unsafe_code)"),
            "{said:?}"
        );
        let text = "//! A.\n#![forbid(unsafe_code)]\n";
        assert!(said_of(check, "daemon/src/lib.rs", text).is_empty());
    }
}
