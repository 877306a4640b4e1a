//! Names that were given up, each with the word that the field uses instead. `names.txt` lists them.

use super::{Findings, code};

const LIST: &str = include_str!("names.txt");
/// The folders that are not yet free of them.
const PENDING: &[&str] = &[
    // The list itself is tried there.
    "xtask/src/tidy/names.rs",
];
/// What stands before the name of an item.
const KEYWORDS: &[&str] = &[
    "fn",
    "struct",
    "enum",
    "union",
    "trait",
    "mod",
    "const",
    "static",
    "type",
    "macro_rules!",
];

pub(super) fn check(path: &str, text: &str, findings: &mut Findings) {
    let is_code = [".rs", ".c", ".h"].iter().any(|end| path.ends_with(end));
    if !is_code || PENDING.iter().any(|folder| path.starts_with(folder)) {
        return;
    }
    for name in path.split(['/', '.']) {
        if let Some(instead) = replacement(path, name) {
            findings.push(format!("{path}: no file is called {name}: {instead}"));
        }
    }
    for (line, code) in code(text) {
        let mut before = "";
        for name in code.split(|each: char| !(each.is_alphanumeric() || "_!".contains(each))) {
            // A word of everyday use is given up as the name of an item only.
            let is_distinct = name.contains(|each: char| each.is_uppercase() || each == '_');
            if (is_distinct || KEYWORDS.contains(&before))
                && let Some(instead) = replacement(path, name)
            {
                findings.push(format!("{path}:{line}: {name} was given up: {instead}"));
            }
            before = name;
        }
    }
}

/// What to say instead, if this name was given up.
fn replacement(path: &str, name: &str) -> Option<&'static str> {
    let entries = LIST.lines().filter_map(|line| line.split_once(": "));
    let mut given_up = entries.filter(|(names, _)| {
        let is_old = |old: &str| match old.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => name == old,
        };
        let mut names = names.split(' ').peekable();
        let scope = names.next_if(|first| first.contains('/'));
        path.starts_with(scope.unwrap_or_default()) && names.any(is_old)
    });
    given_up.next().map(|(_, instead)| instead)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(path: &str, text: &str) -> Vec<String> {
        let mut findings = Findings::new();
        check(path, text, &mut findings);
        findings
    }

    #[test]
    fn names_that_were_given_up_are_found() {
        for text in [
            "x: Misstep,",
            "self.see_off();",
            "fn keeper() {",
            "aside_event(1)",
            "mod hub;",
        ] {
            assert_eq!(findings_of("load/src/x.rs", text).len(), 1, "{text}");
        }
        for text in [
            "// Misstep",
            "let keeper = 1;",
            "Missteps",
            "fn beside()",
            "x // Misstep",
        ] {
            assert_eq!(findings_of("load/src/x.rs", text), [""; 0], "{text}");
        }
        assert_eq!(findings_of("load/src/keeper.rs", "").len(), 1);
    }
}
