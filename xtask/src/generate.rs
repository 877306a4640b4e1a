//! `cargo xtask gen`: the files that are generated and checked in.

use anyhow::{Result, bail};

use crate::test::counted;
use crate::workspace::Workspace;

/// The crates that generate, each by tests that have this in their name: they compare what is on
/// disk with what it should be, or write it when they are told to by an environment variable.
const GENERATORS: &[&str] = &["polyport-config", "xtask"];
const TESTS: &str = "on_disk";
const WRITE: &str = "POLYPORT_WRITE";

/// Writes the generated files again, or says which differs.
///
/// # Errors
/// A generator fails, or a file differs from what it should be.
pub(crate) fn run(workspace: &Workspace, check: bool) -> Result<()> {
    for generator in GENERATORS {
        let mut tests = workspace.cargo();
        tests.args(["test", "--locked", "--quiet", "--package", generator, TESTS]);
        if !check {
            tests.env(WRITE, "1");
        }
        if counted(&mut tests)? == 0 {
            bail!("{generator} has no test with {TESTS} in its name");
        }
    }
    Ok(())
}
