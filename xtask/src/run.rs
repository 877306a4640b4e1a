//! `cargo xtask run`: builds, writes the demonstration's configuration, and becomes the daemon.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use clap::Args;

use crate::demo::{Demo, PORT_BASE};
use crate::packages::{C_COMPILER, CLIENTS, advice, ensure};
use crate::plugins;
use crate::workspace::{Profile, Workspace};

/// How to run the demonstration.
#[derive(Debug, PartialEq, Eq, Args)]
pub(crate) struct RunOptions {
    /// The lowest port
    #[arg(long, value_name = "N", default_value_t = PORT_BASE)]
    pub(crate) port_base: u16,
    /// Build for release; from a clean clone that takes half as long again
    #[arg(long)]
    release: bool,
}

impl RunOptions {
    pub(crate) fn profile(&self) -> Profile {
        match self.release {
            true => Profile::Release,
            false => Profile::Dev,
        }
    }
}

/// Serves the demonstration. Returns only when something fails: the daemon takes over this very
/// process, so that Ctrl-C and other signals reach it and its exit code is ours.
///
/// # Errors
/// A port is taken, a build fails, or the daemon cannot be started.
pub(crate) fn run(workspace: &Workspace, options: &RunOptions) -> Result<()> {
    let folder = workspace.target.join("demo");
    let plugin_path = plugins::folder(workspace, options.profile());
    let demo = Demo::new(options.port_base, plugin_path, &folder)?;
    ensure(C_COMPILER)?;
    plugins::build(workspace, options.profile())?;

    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let file = folder.join("polyport.yaml");
    fs::write(&file, demo.configuration()).with_context(|| file.display().to_string())?;
    let built = workspace.built(options.profile());
    let daemon = built.join("polyportd");
    announce(&demo, &built, &file);

    let fault = Command::new(&daemon).arg("--config").arg(&file).exec();
    Err(fault).with_context(|| format!("cannot start {}", daemon.display()))
}

fn announce(demo: &Demo, built: &Path, file: &Path) {
    println!("\n{}", demo.table());
    println!("{}", demo.questions(&built.join("polyportctl"), file));
    if let Some(missing) = advice(CLIENTS) {
        println!("for these lines: {missing}\n");
    }
    println!("Ctrl-C drains and ends. From here on it is the daemon that talks:");
    let daemon = built.join("polyportd");
    println!("$ {} --config {}\n", daemon.display(), file.display());
}
