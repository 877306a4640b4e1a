//! `cargo xtask bench`: measures a release build of the daemon and its plugins.

use anyhow::Result;

use crate::packages::{C_COMPILER, ensure};
use crate::plugins;
use crate::workspace::{Profile, Workspace, succeed};

/// Builds for release and runs the benchmark with these arguments.
///
/// # Errors
/// A build fails, or the benchmark does.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    ensure(C_COMPILER)?;
    plugins::build(workspace, Profile::Release)?;
    let mut bench = workspace.cargo();
    bench.args([
        "run",
        "--locked",
        "--release",
        "--package",
        "polyport-bench",
        "--",
        "--daemon",
    ]);
    bench.arg(workspace.built(Profile::Release).join("polyportd"));
    bench
        .arg("--plugin-path")
        .arg(plugins::folder(workspace, Profile::Release));
    succeed(bench.args(arguments))
}
