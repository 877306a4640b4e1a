//! A process that must not outlive the bench, even one that is killed: it asks the kernel for
//! SIGTERM at the death of its parent, and then becomes the real command.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;

use anyhow::{Context as _, Result};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use tokio::process::Command;

/// The command that starts `program` under guard; arguments are added as to any other.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("guard").arg(program);
    Ok(command)
}

/// The guard's own part; returns only if the command cannot be run.
pub(crate) fn become_command(words: &[OsString]) -> Result<()> {
    let (program, arguments) = words.split_first().context("no command")?;
    prctl::set_pdeathsig(Signal::SIGTERM)?;
    let fault = std::process::Command::new(program).args(arguments).exec();
    Err(fault).with_context(|| format!("cannot run {}", program.display()))
}
