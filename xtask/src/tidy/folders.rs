//! Rules for folders and their texts: plugins, examples, and links between documents.

use super::{Finding, Tree, numbered, say};

/// The sections of a plugin's README, in the order of a manual page.
const SECTIONS: &[&str] = &[
    "Name",
    "Description",
    "Configuration",
    "Examples",
    "Metrics",
    "See Also",
];

/// A longer example means that the interface is wrong.
const EXAMPLE_LINES_MAX: usize = 40;
/// The same for the example whose streams move to new code: two versions of it in one source.
const MOVING_LINES_MAX: usize = 110;

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    for (path, text) in &tree.files {
        match path.split('/').collect::<Vec<_>>().as_slice() {
            ["plugins", name, "Cargo.toml"] => readme(tree, name, findings),
            ["plugin-api", "examples", _] => example(path, text, findings),
            _ => {}
        }
        if path.ends_with("Cargo.toml") && !takes_lints(text) {
            say(findings, path, 0, "a crate says `[lints] workspace = true`");
        }
        if path.ends_with(".md") {
            links(tree, path, text, findings);
        }
    }
}

fn readme(tree: &Tree, plugin: &str, findings: &mut Vec<Finding>) {
    let path = format!("plugins/{plugin}/README.md");
    let Some(text) = tree.files.get(&path) else {
        say(
            findings,
            &path,
            0,
            format!("missing; its sections: {}", SECTIONS.join(", ")),
        );
        return;
    };
    let headings: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .map(str::trim)
        .collect();
    if headings != SECTIONS {
        say(
            findings,
            &path,
            0,
            format!("its sections are: {}", SECTIONS.join(", ")),
        );
    }
}

fn example(path: &str, text: &str, findings: &mut Vec<Finding>) {
    let lines = text.lines().count();
    let is_code = path.ends_with(".c") || path.ends_with(".rs");
    let most = if path.contains("/tally.") {
        MOVING_LINES_MAX
    } else {
        EXAMPLE_LINES_MAX
    };
    if is_code && lines > most {
        say(findings, path, 0, format!("{lines} lines, at most {most}"));
    }
}

/// The root of the workspace has no crate of its own.
fn takes_lints(manifest: &str) -> bool {
    let lines: Vec<&str> = manifest.lines().map(str::trim).collect();
    !lines.contains(&"[package]")
        || lines
            .windows(2)
            .any(|pair| pair == ["[lints]", "workspace = true"])
}

/// A link to a file of the repository leads to one.
fn links(tree: &Tree, path: &str, text: &str, findings: &mut Vec<Finding>) {
    for (line, text) in numbered(text) {
        for rest in text.split("](").skip(1) {
            let target = rest.split([')', '#', ' ']).next().unwrap_or_default();
            if target.is_empty() || target.contains(':') {
                continue;
            }
            let full = joined(path, target);
            let folder = format!("{full}/");
            let is_there = tree
                .files
                .keys()
                .any(|file| *file == full || file.starts_with(&folder));
            if !is_there {
                say(
                    findings,
                    path,
                    line,
                    format!("the link to {target} leads nowhere"),
                );
            }
        }
    }
}

/// The path that a link in a file means.
fn joined(file: &str, target: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in target.split('/') {
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

    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let mut findings = Vec::new();
        check(&tree(files), &mut findings);
        findings.iter().map(ToString::to_string).collect()
    }

    const MANIFEST: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_plugin_has_its_manual_in_order() {
        let manifest = ("plugins/echo/Cargo.toml", MANIFEST);
        let good = "# echo\n\n## Name\n## Description\n## Configuration\n## Examples\n## Metrics\n## See Also\n";
        assert!(said(&[manifest, ("plugins/echo/README.md", good)]).is_empty());
        let turned = good.replace("## Name\n## Description", "## Description\n## Name");
        assert_eq!(
            said(&[manifest, ("plugins/echo/README.md", &turned)]).len(),
            1
        );
        let missing = said(&[manifest]);
        assert!(
            missing[0].starts_with("plugins/echo/README.md: missing"),
            "{missing:?}"
        );
    }

    #[test]
    fn an_example_stays_short() {
        let path = "plugin-api/examples/echo.c";
        assert!(said(&[(path, &"x;\n".repeat(40))]).is_empty());
        assert_eq!(said(&[(path, &"x;\n".repeat(41))]).len(), 1);
        let path = "plugin-api/examples/tally.c";
        assert!(said(&[(path, &"x;\n".repeat(110))]).is_empty());
        assert_eq!(said(&[(path, &"x;\n".repeat(111))]).len(), 1);
    }

    #[test]
    fn a_crate_takes_the_lints_of_the_workspace() {
        assert!(said(&[("a/Cargo.toml", MANIFEST), ("Cargo.toml", "[workspace]\n")]).is_empty());
        assert_eq!(
            said(&[("a/Cargo.toml", "[package]\nname = \"x\"\n")]).len(),
            1
        );
    }

    #[test]
    fn a_link_leads_somewhere() {
        let text = "[a](../README.md#top) [b](decisions) [c](https://x.example/) [d](#here)\n[e](gone.md)\n";
        let files = [
            ("README.md", ""),
            ("docs/a.md", text),
            ("docs/decisions/0001-x.md", ""),
        ];
        assert_eq!(
            said(&files),
            ["docs/a.md:2: the link to gone.md leads nowhere"]
        );
    }
}
