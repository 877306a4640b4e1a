//! The C reference: its sources travel in the binary and are compiled at the start of a run.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::guard;

const SOURCES: [(&str, &str); 2] = [
    ("echo_epoll", include_str!("../../reference/echo_epoll.c")),
    ("echo_udp", include_str!("../../reference/echo_udp.c")),
];

/// Compiles both references into `folder` by `cc -O2`.
pub(crate) fn compile(folder: &Path) -> Result<()> {
    for (name, source) in SOURCES {
        let file = folder.join(name).with_extension("c");
        fs::write(&file, source)?;
        let status = std::process::Command::new("cc")
            .args(["-O2", "-pthread", "-o"])
            .arg(folder.join(name))
            .arg(&file)
            .status()
            .context("cannot run cc: the reference servers need a C compiler")?;
        ensure!(status.success(), "cc failed on {name}.c");
    }
    Ok(())
}

/// The TCP reference.
pub(crate) fn tcp(folder: &Path, port: u16, workers: u16) -> Result<Command> {
    let mut command = guard::command(folder.join("echo_epoll"))?;
    command.args([port.to_string(), workers.to_string()]);
    Ok(command)
}

/// The UDP reference in one of its modes.
pub(crate) fn udp(folder: &Path, port: u16, mode: &str, workers: u16) -> Result<Command> {
    let mut command = guard::command(folder.join("echo_udp"))?;
    command.args([&port.to_string(), mode, &workers.to_string()]);
    Ok(command)
}
