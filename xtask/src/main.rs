//! `cargo xtask`: everything that this repository can do for whoever works on it.
//!
//! 1. It needs cargo alone: no task runner beside it, and no dependency that the daemon has not.
//! 2. What is missing on the machine is installed (root, Debian) or named with the exact line.
//! 3. What continuous integration runs is `ci`, so it can be run at home before a push.
#![forbid(unsafe_code)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool that talks to whoever typed the command"
)]

mod cli;

// the tasks
mod run;
mod test;
mod rig;
mod ci;
mod bench;
mod sim;
mod dist;
mod generate;
mod tidy;

// what the tasks are made of
mod demo;
mod plugins;
mod packages;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;

use crate::cli::{Cli, Task};
use crate::workspace::Workspace;

fn main() -> ExitCode {
    match perform(&Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    let workspace = Workspace::find()?;
    match task {
        Task::Run(options) => run::run(&workspace, options),
        Task::Test(options) if options.packages => rig::run(&workspace, options),
        Task::Test(options) => test::run(&workspace, options),
        Task::Ci => ci::run(&workspace),
        Task::Step(step) => step.run(&workspace),
        Task::Dist(options) => dist::run(&workspace, options),
        Task::Notices { folder } => dist::notices::write(&workspace, folder),
        Task::Bench { arguments } => bench::run(&workspace, arguments),
        Task::Sim { arguments } => sim::run(&workspace, arguments),
    }
}
