//! `cargo xtask sim`: simulates a worker, see docs/simulation.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::workspace::{Workspace, succeed};

/// Faults as patches, each with a line first that says what it breaks.
const PLANTED: &str = "daemon/data/sim/planted";
/// Seeds within which each has to be found.
const SEEDS: &str = "2000";

/// Builds the simulation, optimised, and runs it with these arguments; `--planted` alone: with each planted fault.
///
/// # Errors
/// The build fails, a run violates the model, or a planted fault is not found.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    if arguments == ["--planted"] {
        return find_planted(workspace);
    }
    let mut sim = workspace.cargo();
    sim.args(["run", "--locked", "--quiet", "--profile", "sim"]);
    succeed(
        sim.args(["--package", "polyport-sim", "--"])
            .args(arguments),
    )
}

/// Plants each fault in a copy of the committed tree, and expects that the simulation finds it.
pub(crate) fn find_planted(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join(PLANTED);
    let mut patches = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        patches.push(entry?.path());
    }
    patches.sort();
    let mut missed = Vec::new();
    for patch in &patches {
        let name = patch.file_stem().unwrap_or_default().to_string_lossy();
        match found(workspace, patch)? {
            Some(finding) => println!("{name}: {finding}"),
            None => missed.push(name.into_owned()),
        }
    }
    if patches.is_empty() || !missed.is_empty() {
        bail!("planted faults that were not found: {missed:?}");
    }
    println!("{} planted faults, each was found", patches.len());
    Ok(())
}

/// The first violation that the simulation finds with a patch, and how many seeds find one.
fn found(workspace: &Workspace, patch: &Path) -> Result<Option<String>> {
    let copy = tempfile::tempdir()?;
    // Older files than the build's would not be built again.
    let unpack = "git archive HEAD | tar -x -m -C \"$1\" && cd \"$1\" && git apply \"$2\"";
    let mut make = Command::new("sh");
    make.args(["-euc", unpack, "sh"])
        .args([copy.path(), patch])
        .current_dir(&workspace.root);
    succeed(&mut make)?;
    let output = Command::new("cargo")
        .args(["run", "--locked", "--quiet", "--profile", "sim"])
        .args(["--package", "polyport-sim", "--", "--seeds", SEEDS])
        .env("CARGO_TARGET_DIR", workspace.root.join("target/planted"))
        .current_dir(copy.path())
        .output()
        .context("cannot run cargo")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = text
        .lines()
        .find_map(|line| line.strip_suffix(" violations"));
    let Some(count) = count else {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    };
    let first = text.lines().find(|line| line.starts_with("seed "));
    Ok(first.map(|first| format!("{first} ({count} of {SEEDS} seeds)")))
}
