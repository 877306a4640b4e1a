//! `polyport-bench` measures servers beside a hand-written C reference and prints ratios.
//!
//! One binary plays several parts: the bench (no subcommand), and in processes of their own the
//! load generator and the plain tokio server. How to read the figures: `docs/benchmarks.md`.
//!
//! 1. The figure is what the server process spends on one operation, not how fast it goes.
//! 2. Servers take turns within each round, so that drift of the machine hits all of them.
//! 3. Every answer is compared with what was sent: a broken server cannot win.
//! 4. Every wait has a deadline, and no child outlives the bench.

mod cli;

// what is measured
mod cases;
mod rounds;
mod report;

// what is measured with
mod servers;
mod load;
mod meter;
mod pinning;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::cli::{BenchOptions, Cli, Role};
use crate::report::Report;

fn main() -> ExitCode {
    play(Cli::parse()).unwrap_or_else(|fault| {
        // Nowhere is left to report to if even this line cannot be written.
        writeln!(std::io::stderr(), "{fault:#}").unwrap_or_default();
        ExitCode::FAILURE
    })
}

fn play(cli: Cli) -> Result<ExitCode> {
    match cli.role {
        Some(Role::Load(options)) => load::run(&options)?,
        Some(Role::ServeTokio(options)) => servers::tokio_echo::serve(&options)?,
        Some(Role::Guard { command }) => servers::guard::become_command(&command)?,
        None => return bench(&cli.bench),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the chosen cases and prints the table; a server that failed a case gives exit code 1.
fn bench(options: &BenchOptions) -> Result<ExitCode> {
    let cases = cases::chosen(&options.only)?;
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime of the bench")?;
    let results = runtime.block_on(rounds::run(cases, options))?;
    let report = Report::new(options, &results);
    write!(std::io::stdout(), "{report}")?;
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&report.as_json())?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::from(u8::from(results.have_faults())))
}

/// Servers and load inherit the limit; a case that needs more says so when it starts.
fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap_or(());
    }
}
