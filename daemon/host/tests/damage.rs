//! Files that were damaged on their way: refused with one line, or good enough to be loaded.

#![expect(clippy::unwrap_used, reason = "a test says by a panic that it failed")]

mod common;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{CHILD, Dice, Workshop, children, request, said_by, staged};
use polyport_host::inspect::{inspect, seal};
use polyport_host::load_error::LoadError;
use polyport_host::probe::{ProbeRequest, probe};

const DAMAGES: u64 = 1000;
const SEED: u64 = 1;
/// As the daemon has it: damage may make a plugin hang.
const DEADLINE: Duration = Duration::from_secs(5);

/// What became of damaged files.
#[derive(Debug, Default)]
struct Counts {
    refused: BTreeMap<String, u64>,
    passed: u64,
    died: u64,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused: u64 = self.refused.values().sum();
        let (passed, died) = (self.passed, self.died);
        write!(
            f,
            "{refused} refused with one line, {passed} passed, {died} died"
        )?;
        self.refused
            .iter()
            .try_for_each(|(code, count)| write!(f, "\n{count:6} {code}"))
    }
}

/// A plugin, a folder for its damaged copies, and how many of them are tried.
struct Victim {
    damages: u64,
    workshop: Workshop,
    good: Vec<u8>,
}

impl Victim {
    fn c() -> Self {
        let workshop = Workshop::new();
        let good = std::fs::read(workshop.echo()).unwrap();
        Self {
            damages: DAMAGES,
            workshop,
            good,
        }
    }

    /// The echo plugin in Rust, if a build of the whole workspace left it beside our executables.
    fn rust() -> Option<Self> {
        let workshop = Workshop::new();
        let built = Path::new(CHILD).with_file_name("libpolyport_echo.so");
        let stripped = workshop.room.path().join("libpolyport_echo.so");
        let mut strip = Command::new("strip");
        let strip = strip
            .arg("-o")
            .arg(&stripped)
            .arg(built)
            .stderr(Stdio::null());
        // Nobody needs the debugging information, which is most of the file: damage there is none.
        strip.status().ok().filter(|status| status.success())?;
        let good = std::fs::read(stripped).unwrap();
        Some(Self {
            // A file of some size, and a slow digest in a build that is not optimised.
            damages: DAMAGES / 4,
            workshop,
            good,
        })
    }

    /// Calls `take` with the path and the bytes of each damaged copy: in each run the same damages.
    fn damage(&self, mut take: impl FnMut(&Path, &[u8])) {
        let mut dice = Dice::new(SEED);
        for number in 0..self.damages {
            let path = self
                .workshop
                .room
                .path()
                .join(format!("damaged{number}.so"));
            take(&path, &dice.damage(&self.good));
        }
    }

    /// The first bytes of the file, up to each length that is a multiple of `step`.
    fn truncate(&self, step: usize) -> impl Iterator<Item = &[u8]> {
        let lengths = (0..self.good.len()).step_by(step);
        lengths.map(|length| self.good.get(..length).unwrap_or_default())
    }

    /// The daemon's way: vetted, tried by a child, then loaded, all into one process.
    fn guarded(&self) -> Counts {
        let mut counts = Counts::default();
        let mut good = Vec::new();
        let request = ProbeRequest {
            deadline: DEADLINE,
            ..request()
        };
        self.damage(|path, bytes| {
            let inspected = inspect(bytes);
            // A file whose end is missing is not staged: that would wait for the end.
            let probed = inspected.and_then(|_| {
                std::fs::write(path, bytes).unwrap();
                probe(&staged(path), &request)
            });
            match probed {
                Ok(_) => good.push(path.to_owned()),
                Err(error) => *counts.refused.entry(code_of_line(&error)).or_default() += 1,
            }
        });
        let said = said_by("load", &good);
        let lines: Vec<_> = said.lines().collect();
        for path in &good {
            let loaded = format!("{}: loaded", path.display());
            let is_loaded = lines.contains(&loaded.as_str());
            *(if is_loaded {
                &mut counts.passed
            } else {
                &mut counts.died
            }) += 1;
        }
        assert_eq!(
            lines.last(),
            Some(&"alive"),
            "the loader died after\n{said}"
        );
        assert_eq!(children(), 0);
        counts
    }

    /// The way without guards, each damage in a process of its own.
    fn trusted(&self) -> Counts {
        let mut counts = Counts::default();
        self.damage(|path, bytes| {
            std::fs::write(path, bytes).unwrap();
            let lived = said_by("trust", &[path.to_owned()]).ends_with("alive\n");
            *(if lived {
                &mut counts.passed
            } else {
                &mut counts.died
            }) += 1;
        });
        counts
    }
}

/// The code; the refusal is one line that says something.
fn code_of_line(error: &LoadError) -> String {
    let line = error.to_string();
    assert!(!error.what().is_empty(), "{line}");
    assert!(!line.contains(char::is_control), "{line}");
    error.code().to_string()
}

#[test]
fn f07_every_truncation_and_a_thousand_damages_of_a_plugin_in_c_harm_nobody() {
    let victim = Victim::c();
    let mut truncations = 0;
    for bytes in victim.truncate(1) {
        let error = inspect(bytes).expect_err("a truncated file passed");
        assert_eq!(code_of_line(&error), "truncated", "{error}");
        truncations += 1;
    }
    let counts = victim.guarded();
    let damages = victim.damages;
    show(&format!(
        "C: {truncations} truncations, all refused with one line\nC: {damages} damages: {counts}"
    ));
    assert_eq!(counts.died, 0);
    assert_eq!(
        counts.passed + counts.refused.values().sum::<u64>(),
        damages
    );
}

#[expect(clippy::print_stdout, reason = "the counts are for people")]
fn show(text: &str) {
    println!("{text}");
}

/// A plugin in Rust runs more code when it is loaded, some of it on random numbers (the seeds of hash tables), so a
/// damage may let it live in the probe and end it later. Only the hash of a sealed file sees that: then every damage
/// is a refusal. Without it the probe still costs nobody anything, and what it cannot see is counted.
#[test]
fn f07_a_plugin_in_rust_is_safe_from_every_damage_when_it_is_sealed() {
    let Some(mut victim) = Victim::rust() else {
        return show("no plugin in Rust was built here: not tried");
    };
    let mut counts = Counts::default();
    victim.damage(|path, bytes| {
        let inspected = inspect(bytes);
        let probed = inspected.and_then(|_| {
            std::fs::write(path, bytes).unwrap();
            probe(&staged(path), &request())
        });
        match probed {
            Err(error) => *counts.refused.entry(code_of_line(&error)).or_default() += 1,
            Ok(_) if said_by("load", &[path.to_owned()]).ends_with("alive\n") => counts.passed += 1,
            Ok(_) => counts.died += 1,
        }
    });
    assert_eq!(children(), 0);
    let damages = victim.damages;
    show(&format!("Rust, not sealed: {damages} damages: {counts}"));

    victim.good = seal(&victim.good).unwrap();
    for bytes in victim.truncate(101) {
        code_of_line(&inspect(bytes).expect_err("a truncated file passed"));
    }
    let mut refused = 0;
    victim.damage(|_, bytes| {
        code_of_line(&inspect(bytes).expect_err("a damaged file passed"));
        refused += 1;
    });
    assert_eq!(refused, damages);
    show(&format!("Rust, sealed: {refused} damages: all refused"));
}

/// If this fails, the above prove nothing.
#[test]
fn f07_the_same_damages_end_a_process_that_trusts_the_file() {
    let victim = Victim::c();
    let counts = victim.trusted();
    let (mut cut, mut whole) = (0, 0);
    for bytes in victim.truncate(101) {
        let path = victim.workshop.room.path().join("cut.so");
        std::fs::write(&path, bytes).unwrap();
        let lived = said_by("trust", &[path]).ends_with("alive\n");
        *(if lived { &mut whole } else { &mut cut }) += 1;
    }
    let (died, truncations) = (counts.died, cut + whole);
    show(&format!(
        "without guards, {died} of {DAMAGES} damages and {cut} of {truncations} truncations ended the process"
    ));
    assert!(counts.died > 0 && cut > 0);
}
