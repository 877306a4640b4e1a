//! Rules for manifests and documents: plugins, examples, links, and the reasons of dependencies.

use super::{Findings, Tree};

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
const ROOT: &str = "Cargo.toml";
const REASONS: &str = "docs/dependencies.md";

pub(super) fn check(tree: &Tree, path: &str, text: &str, findings: &mut Findings) {
    let mut say = |message: String| findings.push(format!("{path}: {message}"));
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    if folder == "plugin-api/examples" && (name.ends_with(".c") || name.ends_with(".rs")) {
        let moving = name.starts_with("tally.");
        let max = if moving {
            MOVING_LINES_MAX
        } else {
            EXAMPLE_LINES_MAX
        };
        if text.lines().count() > max {
            say(format!("more than {max} lines"));
        }
    }
    if name == ROOT && folder.starts_with("plugins/") {
        let readme = tree
            .get(&format!("{folder}/README.md"))
            .map_or("", String::as_str);
        let headings = readme.lines().filter_map(|line| line.strip_prefix("## "));
        if !headings.eq(SECTIONS.iter().copied()) {
            say(format!(
                "its README.md has the sections {}",
                SECTIONS.join(", ")
            ));
        }
    }
    if name == ROOT && text.contains("[package]") && !text.contains("[lints]\nworkspace = true") {
        say("a crate says `[lints] workspace = true`".to_owned());
    }
    if name.ends_with(".md") {
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#', ' ']).next())
        {
            if !target.contains(':') && !is_there(tree, folder, target) {
                say(format!("the link to {target} leads nowhere"));
            }
        }
    }
}

/// Whether a link in a folder means a file or folder of the repository.
fn is_there(tree: &Tree, folder: &str, target: &str) -> bool {
    let mut parts: Vec<&str> = folder.split('/').collect();
    for part in target.trim_end_matches('/').split('/') {
        if part == ".." {
            parts.pop();
        } else {
            parts.push(part);
        }
    }
    let full = parts.join("/");
    let full = full.trim_start_matches('/');
    tree.keys().any(|file| {
        file.strip_prefix(full)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }) || target.is_empty()
}

/// Each dependency of the workspace argues for itself, and is used.
pub(super) fn dependencies(tree: &Tree, findings: &mut Findings) {
    let text = |file| tree.get(file).map_or("", String::as_str);
    let (_, section) = text(ROOT)
        .split_once("[workspace.dependencies]")
        .unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let foreign = section
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("path = "));
    for name in foreign.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        if !text(REASONS).contains(&format!("`{name}`")) {
            findings.push(format!("{ROOT}: {REASONS} does not say why {name}"));
        }
        let starts = [format!("\n{name}.workspace"), format!("\n{name} = {{")];
        let mut manifests = tree
            .iter()
            .filter(|(path, _)| path.ends_with("/Cargo.toml"));
        if !manifests.any(|(_, text)| starts.iter().any(|start| text.contains(start))) {
            findings.push(format!("{ROOT}: no crate uses {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    fn findings_of(files: &[(&str, &str)]) -> Vec<String> {
        let (tree, mut findings) = (tree(files), Findings::new());
        for (path, text) in &tree {
            check(&tree, path, text, &mut findings);
        }
        dependencies(&tree, &mut findings);
        findings
    }

    const MANIFEST: &str = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";

    #[test]
    fn a_plugin_has_its_manual_in_order() {
        let manifest = ("plugins/echo/Cargo.toml", MANIFEST);
        let good = "# echo\n\n## Name\n## Description\n## Configuration\n## Examples\n## Metrics\n## See Also\n";
        assert!(findings_of(&[manifest, ("plugins/echo/README.md", good)]).is_empty());
        let turned = good.replace("## Name\n## Description", "## Description\n## Name");
        assert_eq!(
            findings_of(&[manifest, ("plugins/echo/README.md", &turned)]).len(),
            1
        );
        assert_eq!(findings_of(&[manifest]).len(), 1);
    }

    #[test]
    fn an_example_stays_short_and_a_crate_takes_the_lints() {
        assert!(findings_of(&[("plugin-api/examples/echo.c", &"x;\n".repeat(40))]).is_empty());
        assert_eq!(
            findings_of(&[("plugin-api/examples/echo.c", &"x;\n".repeat(41))]).len(),
            1
        );
        assert!(findings_of(&[("plugin-api/examples/tally.c", &"x;\n".repeat(110))]).is_empty());
        assert!(
            findings_of(&[("a/Cargo.toml", MANIFEST), ("Cargo.toml", "[workspace]\n")]).is_empty()
        );
        assert_eq!(
            findings_of(&[("a/Cargo.toml", "[package]\nname = \"x\"\n")]).len(),
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
            findings_of(&files),
            ["docs/a.md: the link to gone.md leads nowhere"]
        );
    }

    #[test]
    fn a_dependency_has_a_reason_and_a_user() {
        let root = "[workspace.dependencies]\nown = { path = \"own\" }\n# why\nserde = \"1\"\ngone = \"1\"\n\n[x]\n";
        let files = [
            ("Cargo.toml", root),
            ("own/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("docs/dependencies.md", "| `serde` | types |\n"),
        ];
        let reason = "Cargo.toml: docs/dependencies.md does not say why gone";
        assert_eq!(
            findings_of(&files),
            [reason, "Cargo.toml: no crate uses gone"]
        );
    }
}
