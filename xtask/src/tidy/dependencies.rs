//! Each dependency of the workspace argues for itself in `docs/dependencies.md`, and is used.

use super::{Finding, Tree, numbered, say};

const ROOT: &str = "Cargo.toml";
const REASONS: &str = "docs/dependencies.md";

pub(super) fn check(tree: &Tree, findings: &mut Vec<Finding>) {
    let (Some(root), Some(reasons)) = (tree.files.get(ROOT), tree.files.get(REASONS)) else {
        return;
    };
    for (line, name) in chosen(root) {
        if !reasons.contains(&format!("`{name}`")) {
            say(
                findings,
                ROOT,
                line,
                format!("{REASONS} does not say why {name}"),
            );
        }
        if !is_used(tree, name) {
            say(findings, ROOT, line, format!("no crate uses {name}"));
        }
    }
}

/// The crates from outside under `[workspace.dependencies]`.
fn chosen(root: &str) -> Vec<(usize, &str)> {
    let section = numbered(root)
        .skip_while(|(_, line)| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|(_, line)| !line.starts_with('['));
    section
        .filter(|(_, line)| !line.starts_with('#') && !line.contains("path = "))
        .filter_map(|(at, line)| Some((at, line.split_once(" = ")?.0)))
        .collect()
}

/// A manifest of the workspace names it: `name.workspace = true` or `name = { workspace = true`.
fn is_used(tree: &Tree, name: &str) -> bool {
    let manifests = tree
        .files
        .iter()
        .filter(|(path, _)| path.ends_with("/Cargo.toml"));
    let starts = [format!("{name}.workspace"), format!("{name} = {{")];
    manifests
        .flat_map(|(_, text)| text.lines())
        .any(|line| starts.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    #[test]
    fn a_dependency_has_a_reason_and_a_user() {
        let root = "[workspace.dependencies]\nown = { path = \"own\" }\n# why\nserde = \"1\"\n\
                    gone = \"1\"\n\n[profile.dev]\ndebug = 1\n";
        let files = [
            ("Cargo.toml", root),
            ("own/Cargo.toml", "[dependencies]\nserde.workspace = true\n"),
            ("docs/dependencies.md", "| `serde` | types |\n"),
        ];
        let mut findings = Vec::new();
        check(&tree(&files), &mut findings);
        let said: Vec<String> = findings.iter().map(ToString::to_string).collect();
        let reason = "Cargo.toml:5: docs/dependencies.md does not say why gone";
        assert_eq!(said, [reason, "Cargo.toml:5: no crate uses gone"]);
    }
}
