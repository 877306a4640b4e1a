//! The files that operators copy are valid, and the schema on disk is that of the code.

use std::path::{Path, PathBuf};

use polyport_config::manual;

use crate::folder::{self, load_with};

fn here(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[test]
fn packaged_configuration_opens_nothing() {
    // Independent of installed files.
    let text = include_str!("../../polyport.yaml").replace("/usr/lib/polyport/conf.d", "lib.d");
    let (loaded, _folder) = folder::load_files(&[("polyport.yaml", &text)], &[]);
    let loaded = loaded.unwrap();
    assert!(loaded.config.services.is_empty() && loaded.config.instances.is_empty());
    let (empty, _folder) = folder::load_files(&[("empty.yaml", "")], &[]);
    assert_eq!(
        loaded.config,
        empty.unwrap().config,
        "it states the defaults"
    );
}

#[test]
fn packaged_configuration_comments_are_valid() {
    let text = std::fs::read_to_string(here("polyport.yaml")).unwrap();
    let (head, sections) = text.split_once("\ndaemon:").unwrap();
    assert!(head.contains("\ninclude-overlay: [conf.d, /usr/lib/polyport/conf.d]\n"));
    // Every commented key can be enabled by removing the `# `.
    let key = |text: &str| {
        let (name, _) = text.trim_start().split_once([':', ' ']).unwrap_or_default();
        let plain = name.bytes().all(|c| c.is_ascii_lowercase() || c == b'-');
        plain
            && text.contains([':', '-'])
            && text.trim_start().as_bytes().get(name.len()) == Some(&b':')
            || name == "-"
    };
    let lines = sections.lines().map(|line| match line.split_once("# ") {
        Some((indent, text)) if indent.trim().is_empty() && key(text) => format!("{indent}{text}"),
        Some((indent, _)) if indent.trim().is_empty() => String::new(),
        _ => line.to_owned(),
    });
    let text = format!("daemon:{}", lines.collect::<Vec<_>>().join("\n"));
    let loaded = folder::good(&text);
    assert_eq!(loaded.config.services.len(), 1, "{text}");
    assert_eq!(loaded.config.instances.len(), 2);
}

#[test]
fn examples_load() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(here("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            let loaded =
                load_with(&path, &[], &["echo"]).unwrap_or_else(|faults| panic!("{faults}"));
            assert!(!loaded.config.services.is_empty(), "{}", path.display());
            assert!(loaded.warnings.is_empty());
            names.push(path);
        }
    }
    assert!(names.len() >= 6, "{names:?}");
    let loaded = load_with(&here("examples/include/main.yaml"), &[], &["echo"]).unwrap();
    assert_eq!(loaded.config.services.len(), 1);
    let loaded = load_with(&here("examples/include/main.yaml"), &[], &[]).unwrap();
    assert_eq!(
        (loaded.config.services.len(), loaded.warnings.len()),
        (0, 1)
    );
}

/// `POLYPORT_WRITE=1` writes the files anew.
#[test]
fn generated_files_on_disk_match_the_code() {
    let schema = format!("{:#}\n", polyport_config::schema());
    for (path, made) in [
        ("schema.json", schema),
        ("../docs/configuration.md", manual::markdown()),
        ("../packaging/man/polyport.yaml.5", manual::page()),
    ] {
        let path = here(path);
        if std::env::var_os("POLYPORT_WRITE").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == made, "{} is stale: cargo xtask gen", path.display());
    }
}

#[test]
fn manual_has_every_key() {
    let (markdown, man) = (manual::markdown(), manual::man());
    for entry in polyport_config::reference::SECTIONS
        .iter()
        .flat_map(|section| section.keys)
    {
        assert!(markdown.contains(&format!("`{}`", entry.name)));
        assert!(man.contains(&format!(".B {}\n", entry.name.replace('-', "\\-"))));
    }
}
