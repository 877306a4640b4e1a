//! The command: reads the options, blocks the signals that end a run, and prints the report.
#![forbid(unsafe_code)]

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use polyport_load::{Control, Options, Steering};

/// The options make no sense, or this machine cannot run it.
const UNABLE: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(fault) => {
            // Nowhere is left to report to if even this cannot be written.
            fault.print().unwrap_or_default();
            return ExitCode::from(u8::try_from(fault.exit_code()).unwrap_or(UNABLE));
        }
    };
    match options
        .check()
        .map_err(anyhow::Error::msg)
        .and_then(|()| load(&options))
    {
        Ok(code) => code,
        Err(fault) => {
            writeln!(std::io::stderr(), "polyport-load: {fault:#}").unwrap_or_default();
            ExitCode::from(UNABLE)
        }
    }
}

fn load(options: &Options) -> Result<ExitCode> {
    let signals = signals().context("cannot take over SIGINT and SIGTERM")?;
    let input = std::io::stdin();
    let steering = Steering {
        control: Control::new(&input),
        signals: Some(&signals),
    };
    let mut output = std::io::stdout();
    let report = polyport_load::run(options, steering, &mut output)?;
    if options.json {
        writeln!(output, "{}", serde_json::to_string(&report)?)?;
    } else {
        write!(output, "{report}")?;
    }
    Ok(ExitCode::from(report.exit_code()))
}

/// An interrupted run still reports.
fn signals() -> nix::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}
