//! Rules for the C headers: short, and every function names the context in which it is called.

use super::Findings;

/// A header is read as a page.
const LINES_MAX: usize = 150;
/// The contexts, defined in `polyport.h`.
const TAGS: &[&str] = &["[load]", "[ctl]", "[io]", "[any]", "[pure]"];

pub(super) fn check(path: &str, text: &str, findings: &mut Findings) {
    if !path.starts_with("plugin-api/include/") {
        return;
    }
    let lines = text.lines().count();
    if lines >= LINES_MAX {
        findings.push(format!(
            "{path}: {lines} lines, fewer than {LINES_MAX} wanted"
        ));
    }
    if !text.starts_with("/*") {
        findings.push(format!(
            "{path}: a header opens with a comment: its concept in one line"
        ));
    }
    for name in untagged(text) {
        let tags = TAGS.join(" ");
        findings.push(format!(
            "{path}: {name} ends without one of the tags {tags}"
        ));
    }
}

/// The function pointers whose declaration does not end in a comment with a tag.
fn untagged(text: &str) -> impl Iterator<Item = &str> {
    let declared = text.split("(*").skip(1).filter_map(|rest| {
        let (name, parameters) = rest.split_once(")(")?;
        let is_name = name
            .chars()
            .all(|each| each.is_alphanumeric() || each == '_');
        is_name.then_some((name, parameters.split_once(';')?.1))
    });
    declared.filter_map(|(name, after)| {
        let remark = after.lines().next().unwrap_or_default();
        let is_tagged = remark.contains("/*") && TAGS.iter().any(|tag| remark.contains(tag));
        (!is_tagged).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings_of(text: &str) -> Vec<String> {
        let mut findings = Findings::new();
        check("plugin-api/include/polyport/x.h", text, &mut findings);
        findings
    }

    #[test]
    fn a_tag_ends_the_comment_of_each_function() {
        let good = "/* x.h */\ntypedef struct a {\n  int (*f)(void *self,\n           int n);  /* [io] */\n\
                    int (*g)(void); /* twice [io] [ctl] */\n  int (*h)(void); /* [any] until return */\n} a;\n";
        assert_eq!(findings_of(good), [""; 0]);
        let bad = "/* x.h */\ntypedef struct a {\n  /* [io] */\n  int (*f)(void *self);\n} a;\n";
        assert!(findings_of(bad).len() == 1 && findings_of(bad)[0].contains("f ends without"));
        assert_eq!(
            findings_of("/* x.h */\nstruct a { int (*f)(void); /* [thread] */ };\n").len(),
            1
        );
    }

    #[test]
    fn a_header_is_a_page_with_a_title() {
        let found = findings_of(&"\n".repeat(150));
        assert!(
            found.len() == 2 && found[0].contains("150 lines"),
            "{found:?}"
        );
    }
}
