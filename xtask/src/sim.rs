//! `cargo xtask sim`: simulates a worker, see docs/simulation.md.

use anyhow::Result;

use crate::workspace::{Workspace, succeed};

/// Builds the simulation, optimised, and runs it with these arguments.
///
/// # Errors
/// The build fails, or a run violates the model.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let mut sim = workspace.cargo();
    sim.args(["run", "--locked", "--quiet", "--profile", "sim"]);
    succeed(
        sim.args(["--package", "polyport-sim", "--"])
            .args(arguments),
    )
}
