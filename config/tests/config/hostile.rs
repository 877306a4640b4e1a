//! Loading any file ends soon and with a fault: no panic, no hang, no excessive memory.

use std::path::Path;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::folder::{faults, faults_of, load_with};

/// The time limit of a refusal; the best of several tries counts, and a debug build is slower.
const SOON: Duration = Duration::from_millis(if cfg!(debug_assertions) { 500 } else { 100 });

fn soon(what: &str, text: &str) -> String {
    let mut said = String::new();
    let mut took = Duration::MAX;
    for _ in 0..5 {
        let began = Instant::now();
        said = faults(text);
        took = took.min(began.elapsed());
        if took < SOON {
            break;
        }
    }
    assert!(took < SOON, "{what} took {took:?}");
    assert!(said.starts_with("error:"), "{what}: {said}");
    assert!(said.len() < 20_000, "{what}");
    said
}

#[test]
fn hostile_nesting_is_refused_quickly() {
    let said = soon("brackets", &"[".repeat(200_000));
    assert!(
        said.contains("this is no YAML: recursion limit exceeded"),
        "{said}"
    );
    let said = soon("dashes", &"- ".repeat(100_000));
    assert!(said.contains("nested too deep"), "{said}");
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let inner = vec![format!("*a{}", level - 1); 9].join(",");
        bomb += &format!("a{level}: &a{level} [{inner}]\n");
    }
    let said = soon("an alias bomb", &bomb);
    assert!(
        said.contains("the aliases of this file grow too large"),
        "{said}"
    );
    let mut chain = String::new();
    for level in 0..200 {
        let inner = if level == 0 {
            "1".to_owned()
        } else {
            format!("*a{}", level - 1)
        };
        chain += &format!(
            "k{level}: &a{level} {}{inner}{}\n",
            "[".repeat(20),
            "]".repeat(20)
        );
    }
    assert!(soon("a chain of aliases", &chain).contains("nested too deep"));
    let mut merges = "b0: &b0 {x: 1}\n".to_owned();
    for level in 1..200 {
        let inner = format!("{{<<: *b{}, y: 1}}", level - 1);
        merges += &format!(
            "b{level}: &b{level} {{x: {}{inner}{}}}\n",
            "[".repeat(20),
            "]".repeat(20)
        );
    }
    soon("a chain of merges", &merges);
    soon(
        "a quote without end",
        &format!("x: \"{}", "a".repeat(900_000)),
    );
    soon("a long key", &format!("{}: 1", "a".repeat(500)));
    soon(
        "a long value",
        &format!("log: {{level: {}}}", "a".repeat(100_000)),
    );
}

/// A file of maximum size with the smallest values: it may take longer, within reason.
#[test]
fn hostile_number_of_values_is_refused() {
    let began = Instant::now();
    let said = faults(&format!("log: [{}]\n", "x,".repeat(500_000)));
    assert!(said.contains("the file has too many values"), "{said}");
    assert!(began.elapsed() < 20 * SOON, "{:?}", began.elapsed());
}

#[test]
fn hostile_number_of_names_takes_linear_time() {
    let mut text = "services:\n".to_owned();
    for at in 0..2_000 {
        text += &format!(
            "  s{at}: {{handler: h{at}, listen: 'tcp://127.{}.{}.1:7'}}\n",
            at / 250,
            at % 250
        );
    }
    text += "plugins:\n";
    for at in 0..2_000 {
        text += &format!("  p{at}: {{library: kv, after: [p{}]}}\n", at + 1);
    }
    text += "  p2000: {library: kv}\n";
    let began = Instant::now();
    let config = crate::folder::good(&text).config;
    assert!(began.elapsed() < 10 * SOON, "{:?}", began.elapsed());
    assert_eq!(config.instances.first().unwrap().name, "p2000");
}

#[test]
fn hostile_files_that_are_no_text_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        let text = load_with(path, &[], &[]).unwrap_err().to_string();
        text.replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(said(folder.path()), @r"
    error: DIR: DIR is a directory
      help: name a regular file
    ");
    insta::assert_snapshot!(said(&folder.path().join("gone.yaml")), @r"error: DIR/gone.yaml: there is no file DIR/gone.yaml");
    insta::assert_snapshot!(said(Path::new("/dev/zero")), @r"
    error: /dev/zero: /dev/zero is a device
      help: name a regular file
    ");
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    insta::assert_snapshot!(said(&fifo), @r"
    error: DIR/fifo: DIR/fifo is a FIFO
      help: name a regular file
    ");
    let file = folder.path().join("file.yaml");
    std::fs::write(&file, "log:\n  level: in\0fo\n").unwrap();
    insta::assert_snapshot!(said(&file), @r"
    error: DIR/file.yaml:2:12: there is a zero byte here
      help: save the file as UTF-8 text
    ");
    std::fs::write(&file, b"log:\n  level: \xff\n").unwrap();
    insta::assert_snapshot!(said(&file), @r"
    error: DIR/file.yaml:2:10: this byte is no UTF-8
      help: save the file as UTF-8, without a codepage of its own
    ");
    std::fs::write(&file, "#".repeat(1024 * 1024 + 1)).unwrap();
    insta::assert_snapshot!(said(&file), @r"
    error: DIR/file.yaml: DIR/file.yaml is larger than 1 MiB
      help: split it and use `include:`
    ");
}

#[test]
fn include_is_bounded() {
    let mut files: Vec<(String, String)> = vec![("main.yaml".into(), "include: f1.yaml\n".into())];
    files.extend((1..20).map(|at| {
        (
            format!("f{at}.yaml"),
            format!("include: f{}.yaml\n", at + 1),
        )
    }));
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    insta::assert_snapshot!(faults_of(&files), @r"
    error: f8.yaml:1:10: f9.yaml is included more than 8 files deep
      help: include it from a file nearer to the main one
    ");
}

/// Files that use all features, to be damaged.
const SEEDS: [&str; 3] = [
    include_str!("../../polyport.yaml"),
    include_str!("../../examples/limits-and-timeouts.yaml"),
    "plugins:\n  a: &a {library: kv, after: [b], config: {x: \"${X:-1}\", y: [1, 2.5, ~, 'q']}}\n  b:\n    <<: *a\n    after: []\nservices:\n  s:\n    listen: [\"tcp://[::]:7\", 'unix:///x%20y?mode=0660&group=g']\n    handler: a\n    timeouts: {idle: 1m30s, lifetime: off}\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, bytes).unwrap();
        if let Err(faults) = load_with(&path, &[], &[]) {
            prop_assert!(!faults.is_empty() && !faults.render(faults.sources(), true).is_empty());
        }
    }

    #[test]
    fn hostile_yaml_does_not_panic(text in "[-\\[\\]{}:,&*!|>'\"%@#?$ \n\tab0-9.<~]{0,80}") {
        let said = faults(&text);
        prop_assert!(!said.is_empty());
    }

    #[test]
    fn hostile_damage_does_not_panic(
        seed in 0..SEEDS.len(),
        hits in proptest::collection::vec((any::<prop::sample::Index>(), "\\PC{0,3}|[-\\[\\]{}:,&*'\"$ \n]", 0..20usize), 1..6),
    ) {
        let mut letters: Vec<char> = SEEDS[seed].chars().collect();
        for (at, new, dropped) in hits {
            let at = at.index(letters.len() + 1).min(letters.len());
            let end = (at + dropped).min(letters.len());
            letters.splice(at..end, new.chars());
        }
        let text: String = letters.into_iter().collect();
        let (loaded, _folder) = crate::folder::load_files(&[("main.yaml", &text)], &[]);
        if let Err(faults) = loaded {
            prop_assert!(!faults.is_empty());
            prop_assert!(!faults.render(faults.sources(), false).is_empty());
        }
    }
}
