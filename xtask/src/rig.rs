//! `cargo xtask test --packages`: makes packages and leads them through their life in throwaway machines
//! (`packaging/test`).

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::dist::{self, DistOptions};
use crate::packages::{FOR_RIG, ensure};
use crate::test::TestOptions;
use crate::workspace::{Workspace, succeed};

/// What the rig ends with where it cannot run.
const SKIPPED: i32 = 77;

/// Makes the packages and runs the rig on them.
///
/// # Errors
/// A check failed, or the rig cannot run here and that is not allowed.
pub(crate) fn run(workspace: &Workspace, options: &TestOptions) -> Result<()> {
    let script = workspace.root.join("packaging/test/run");
    if !can_run(Command::new(&script).arg("--probe"))? {
        if options.allow_skip {
            return Ok(());
        }
        bail!("SKIPPED; to accept that, say --allow-skip");
    }
    let work = workspace.target.join("packages-test");
    let (first, next) = (work.join("first"), work.join("next"));
    for (into, deb, revision) in [(&first, true, 1), (&next, false, 2)] {
        if into.exists() {
            fs::remove_dir_all(into).with_context(|| into.display().to_string())?;
        }
        let options = DistOptions {
            deb,
            rpm: true,
            revision,
            check: false,
        };
        dist::make(workspace, &options, into)?;
    }
    let mut load = workspace.cargo();
    load.args([
        "build",
        "--locked",
        "--release",
        "--package",
        "polyport-load",
    ]);
    succeed(&mut load)?;
    let mut rig = Command::new(&script);
    rig.arg("--packages").arg(first);
    rig.arg("--next").arg(next);
    rig.arg("--load")
        .arg(workspace.target.join("release/polyport-load"));
    rig.arg("--cache").arg(work);
    succeed(rig.args(&options.filters))
}

/// Whether it can, after what is missing was installed where that is possible. It says itself what is in its way.
fn can_run(probe: &mut Command) -> Result<bool> {
    if let Err(fault) = ensure(FOR_RIG) {
        println!("1..0 # SKIPPED: {fault}");
        return Ok(false);
    }
    let status = probe.status().context("cannot run packaging/test/run")?;
    match status.code() {
        Some(0) => Ok(true),
        Some(SKIPPED) => Ok(false),
        _ => bail!("packaging/test/run: {status}"),
    }
}
