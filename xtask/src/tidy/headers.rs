//! Rules for the C headers: short, and every function says in which context it is called.

use super::{Finding, code_only, say};

/// A header is read as a page.
const LINES_MAX: usize = 150;
/// The contexts, defined in `polyport.h`.
const TAGS: &[&str] = &["[load]", "[ctl]", "[io]", "[any]", "[pure]"];

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    if !path.starts_with("plugin-api/include/") {
        return;
    }
    let lines = text.lines().count();
    if lines >= LINES_MAX {
        say(
            findings,
            path,
            0,
            format!("{lines} lines, fewer than {LINES_MAX} wanted: one concept each"),
        );
    }
    if !text.starts_with("/*") {
        say(
            findings,
            path,
            1,
            "a header opens with a comment: its concept in one line",
        );
    }
    for function in untagged(text) {
        let line = text
            .get(..function.at)
            .unwrap_or_default()
            .lines()
            .count()
            .max(1);
        let name = function.name;
        say(
            findings,
            path,
            line,
            format!("{name} ends without one of the tags {}", TAGS.join(" ")),
        );
    }
}

struct Untagged<'a> {
    name: &'a str,
    at: usize,
}

/// The function pointers whose line does not end in a comment with a tag.
fn untagged(text: &str) -> Vec<Untagged<'_>> {
    let code = code_only(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("(*") {
        let rest = text.get(at + 2..).unwrap_or_default();
        let length = rest.find(|each: char| !(each.is_alphanumeric() || each == '_'));
        let (name, after) = rest
            .split_at_checked(length.unwrap_or(0))
            .unwrap_or_default();
        if name.is_empty() || !after.starts_with(")(") {
            continue;
        }
        // Comments keep their length when they are blanked, so the end found in the code is its
        // end in the text.
        let end = code
            .get(at..)
            .and_then(|rest| rest.find(';'))
            .map_or(text.len(), |end| at + end);
        let remark = text
            .get(end..)
            .and_then(|rest| rest.lines().next())
            .unwrap_or_default();
        if !remark.contains("/*") || !TAGS.iter().any(|tag| remark.contains(tag)) {
            found.push(Untagged { name, at });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::said_of;
    use super::*;

    fn said(text: &str) -> Vec<String> {
        said_of(check, "plugin-api/include/polyport/x.h", text)
    }

    #[test]
    fn a_tag_ends_the_comment_of_each_function() {
        let good = "/* x.h */\ntypedef struct a {\n  int (*f)(void *self,\n           int n);  /* [io] */\n\
                    int (*g)(void); /* twice [io] [ctl] */\n  int (*h)(void); /* [any] until return */\n} a;\n";
        assert!(said(good).is_empty(), "{:?}", said(good));
        let bad = "/* x.h */\ntypedef struct a {\n  /* [io] */\n  int (*f)(void *self);\n} a;\n";
        let found = said(bad);
        assert!(
            found.len() == 1 && found[0].starts_with("4: f ends without"),
            "{found:?}"
        );
        let unknown = "/* x.h */\nstruct a { int (*f)(void); /* [thread] */ };\n";
        assert_eq!(said(unknown).len(), 1);
    }

    #[test]
    fn a_comment_may_speak_of_functions() {
        assert!(said("/* x.h: call (*f)(void) */\n").is_empty());
    }

    #[test]
    fn a_header_is_a_page_with_a_title() {
        let found = said(&"\n".repeat(150));
        assert!(
            found.len() == 2 && found[0].contains("150 lines"),
            "{found:?}"
        );
        assert!(said_of(check, "benches/reference/x.h", "").is_empty());
    }
}
