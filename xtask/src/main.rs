//! `cargo xtask`: everything that this repository can do for whoever works on it.
//!
//! 1. It needs cargo alone: no task runner beside it, and no dependency but the error type.
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
mod dist;
mod generate;
mod tidy;
mod manifests;

// what the tasks are made of
mod demo;
mod plugins;
mod packages;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::Task;
use crate::workspace::Workspace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let task = match cli::parse(&arguments) {
        Ok(task) => task,
        Err(fault) => {
            eprintln!("{fault}\n\n{}", cli::USAGE);
            return ExitCode::from(2);
        }
    };
    match perform(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(task: &Task) -> Result<()> {
    if matches!(task, Task::Help) {
        println!("{}", cli::USAGE);
        return Ok(());
    }
    let workspace = Workspace::find()?;
    match task {
        Task::Run(options) => run::run(&workspace, options),
        Task::Test { filters } => test::run(&workspace, filters),
        Task::Rig(options) => rig::run(&workspace, options),
        Task::Ci => ci::run(&workspace),
        Task::Step(step) => step.run(&workspace),
        Task::Dist(options) => dist::run(&workspace, options),
        Task::Notices { folder } => dist::notices::write(&workspace, folder),
        Task::Bench { arguments } => bench::run(&workspace, arguments),
        Task::Help => Ok(()),
    }
}
