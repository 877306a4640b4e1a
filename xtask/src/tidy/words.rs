//! Words that need company: a reason that stands by itself, an issue that says what is to be mended.

use super::{Finding, numbered, say};

// Put together here, so that this file is not found by its own rule.
const TO_MEND: &str = concat!("FIX", "ME");
const SAME: &str = concat!("SAFETY: ", "same");

pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, text) in numbered(text) {
        if text.to_lowercase().contains(&SAME.to_lowercase()) {
            say(
                findings,
                path,
                line,
                "say the fact that makes it sound: what was above may move",
            );
        }
        if text.split(TO_MEND).skip(1).any(|after| !has_issue(after)) {
            say(
                findings,
                path,
                line,
                format!("a {TO_MEND} names its issue: {TO_MEND}(#12)"),
            );
        }
    }
}

/// `(#12)` follows.
fn has_issue(after: &str) -> bool {
    let number = after
        .strip_prefix("(#")
        .and_then(|rest| rest.split_once(')'));
    number.is_some_and(|(digits, _)| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::said;
    use super::*;

    #[test]
    fn what_is_to_be_mended_has_an_issue() {
        assert!(said(check, &format!("// {TO_MEND}(#12): later")).is_empty());
        for bare in ["", ": later", "(12)", "(#)", "(#x)"] {
            assert_eq!(
                said(check, &format!("a\n// {TO_MEND}{bare}")).len(),
                1,
                "{bare}"
            );
        }
    }

    #[test]
    fn a_reason_stands_by_itself() {
        let found = said(check, &format!("// {SAME} as above"));
        assert!(
            found.len() == 1 && found[0].starts_with("1: say the fact"),
            "{found:?}"
        );
    }
}
