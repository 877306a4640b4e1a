//! `cargo xtask ci`: the steps of continuous integration, in order; the first that fails ends it.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;

use crate::test::TestOptions;
use crate::workspace::{Workspace, succeed};
use crate::{generate, test, tidy};

/// The tests come last and have a task of their own; the generated files are checked by them.
const STEPS: &[Step] = &[
    Step::Fmt,
    Step::Clippy,
    Step::Tidy,
    Step::Doc,
    Step::Deny,
    Step::Manifests,
];

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub(crate) enum Step {
    /// Check the layout of the code
    Fmt,
    /// Check the compiler's and clippy's lints, as errors
    Clippy,
    /// Check the rules that no compiler knows
    Tidy,
    /// Write the generated files again
    Gen {
        /// Name the files that differ instead of writing them
        #[arg(long)]
        check: bool,
    },
    /// Build the documentation without a warning
    Doc,
    /// Check licences, sources and bans of the dependencies, and advisories where they can be had
    Deny,
    /// Check the definition of the image and the manifests for a cluster
    Manifests,
}

impl Step {
    /// Runs the step.
    ///
    /// # Errors
    /// It found something.
    pub(crate) fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Fmt => succeed(workspace.cargo().args(["fmt", "--all", "--", "--check"])),
            Self::Clippy => succeed(
                workspace
                    .cargo()
                    .args(["clippy", "--locked", "--workspace", "--all-targets"])
                    .args(["--", "-D", "warnings"]),
            ),
            Self::Tidy => tidy::run(workspace),
            Self::Gen { check } => generate::run(workspace, check),
            Self::Doc => succeed(workspace.cargo().env("RUSTDOCFLAGS", "-D warnings").args([
                "doc",
                "--locked",
                "--workspace",
                "--no-deps",
            ])),
            Self::Deny => deny(workspace),
            Self::Manifests => {
                let mut lint = Command::new(workspace.root.join("packaging/lint"));
                succeed(lint.arg(workspace.target.join("linters")))
            }
        }
    }
}

/// Runs all steps, then the tests.
///
/// # Errors
/// The first step that found something.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    for step in STEPS {
        let begun = Instant::now();
        eprintln!("\n== {step:?}");
        step.run(workspace)
            .with_context(|| format!("step {step:?}"))?;
        eprintln!("== {step:?} is well ({:.0?})", begun.elapsed());
    }
    eprintln!("\n== test");
    test::run(workspace, &TestOptions::default()).context("step test")
}

fn deny(workspace: &Workspace) -> Result<()> {
    let found = workspace
        .cargo()
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        bail!("missing: cargo-deny; install by: cargo install --locked cargo-deny");
    }
    let check = |what: &[&str]| {
        succeed(
            workspace
                .cargo()
                .args(["deny", "--locked", "check"])
                .args(what),
        )
    };
    check(&["bans", "licenses", "sources"])?;
    if advisories_are_reachable(workspace) {
        return check(&["advisories"]);
    }
    eprintln!("advisories are left out: their database cannot be fetched from here");
    Ok(())
}

/// Fetches the database of advisories, with a bound on the time that a dead network takes.
fn advisories_are_reachable(workspace: &Workspace) -> bool {
    let mut fetch = Command::new("timeout");
    fetch
        .current_dir(&workspace.root)
        .args(["120", "cargo", "deny", "fetch", "db"]);
    fetch.stdin(Stdio::null()).stderr(Stdio::null());
    fetch.status().is_ok_and(|status| status.success())
}
