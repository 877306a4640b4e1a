//! The slow side: decides. One task owns the state; signals and the end of workers are its events.

pub mod exit;
pub mod signals;
pub mod manager;
pub mod vet;
pub mod stored;
pub mod inheritance;
pub mod bind;
pub mod life;
pub mod workers;
pub mod boot;
pub mod services;
pub mod state;
pub mod stop;
pub mod admin;

use std::cell::Cell;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use polyport_config::{Fault, Faults, LogFormat, LogLevel};
use polyport_sys::signals::Signal;

pub use exit::Exit;

use boot::{BootFault, boot};
use life::Life;
use signals::{Signals, StopBudget};
use vet::{Checked, vet};

use crate::common::{log, tasks};

/// Before the configuration is known.
const STOP_BUDGET: Duration = Duration::from_secs(40);

/// `polyportd --check`: prints every fault; serves nothing, writes nothing.
#[must_use]
pub fn check(config: &Path, quiet: bool) -> Exit {
    match vet(config) {
        Ok(checked) => {
            if !quiet {
                let warnings = Faults::new(checked.warnings, checked.sources);
                if !warnings.is_empty() {
                    print(&warnings);
                }
                let (instances, services) = (&checked.config.instances, &checked.config.services);
                drop(writeln!(
                    io::stdout(),
                    "{}: configuration is good: services {}, instances {}, plugins {}",
                    config.display(),
                    services.len(),
                    instances.len(),
                    checked.plugins.len()
                ));
            }
            Exit::Clean
        }
        Err(faults) => {
            if !quiet {
                print(&faults);
            }
            Exit::Config
        }
    }
}

/// `polyportd seal`: writes the hash of each plugin file into its note. A file is replaced whole, or left as it was.
#[must_use]
pub fn seal(files: &[PathBuf]) -> Exit {
    let mut exit = Exit::Clean;
    for file in files {
        if let Err(reason) = seal_one(file) {
            drop(writeln!(
                io::stderr(),
                "error: {}: {reason}",
                file.display()
            ));
            exit = Exit::Config;
        }
    }
    exit
}

fn seal_one(file: &Path) -> Result<(), String> {
    let plain = |error: io::Error| error.to_string();
    let bytes = std::fs::read(file).map_err(plain)?;
    let mode = std::fs::metadata(file).map_err(plain)?.permissions();
    let sealed = polyport_host::inspect::seal(&bytes).map_err(|refusal| refusal.to_string())?;
    let beside = file.with_extension("so.sealing");
    let replaced = std::fs::write(&beside, sealed)
        .and_then(|()| std::fs::set_permissions(&beside, mode))
        .and_then(|()| std::fs::rename(&beside, file));
    replaced.map_err(|error| {
        drop(std::fs::remove_file(&beside));
        error.to_string()
    })
}

/// Shows faults on the terminal; a closed one is no reason to fail.
fn print(faults: &Faults) {
    let colour = io::stderr().is_terminal();
    let text = if colour {
        faults.render(faults.sources(), true)
    } else {
        faults.to_string()
    };
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
}

/// Runs the daemon until it is told to stop.
#[must_use]
pub fn run(config: &Path) -> Exit {
    let failed = |what: &str, error: io::Error| {
        drop(writeln!(io::stderr(), "error: {what}: {error}"));
        Exit::Internal
    };
    let budget = StopBudget::new(STOP_BUDGET);
    let mut signals = match signals::listen(budget.clone()) {
        Ok(signals) => signals,
        Err(error) => return failed("the thread that reads signals", error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return failed("the control runtime", error),
    };
    let exit = runtime.block_on(live(config, &mut signals, &budget));
    tracing::info!(exit = exit.number(), "stopped");
    log::finish();
    // Not by way of `exit`: threads may still be inside of a plugin, and its destructors would run beside them.
    polyport_sys::process::exit_now(i32::from(exit.number()));
}

/// The whole life: check, start, serve, stop.
async fn live(config: &Path, signals: &mut Signals, budget: &StopBudget) -> Exit {
    let mut kept = Kept::default();
    let path = config.to_owned();
    let vetting = tasks::blocking(move || vet(&path));
    let checked = tokio::select! {
        checked = vetting => checked,
        _ = kept.stop(signals) => {
            // A child that is being probed ends by its own alarm.
            return Exit::Clean;
        }
    };
    let checked = match checked {
        Ok(Ok(checked)) => checked,
        Ok(Err(faults)) => {
            print(&faults);
            log::start(LogFormat::Auto, LogLevel::Info);
            return Exit::Config;
        }
        Err(error) => {
            drop(writeln!(
                io::stderr(),
                "error: checking the configuration: {error}"
            ));
            return Exit::Internal;
        }
    };
    log::start(checked.config.log.format, checked.config.log.level);
    budget.set(checked.config.daemon.stop_timeout);
    checked.warnings.iter().for_each(warn);
    let mut life = Life::new(config.to_owned());
    start_and_serve(&mut life, checked, &mut kept, signals, budget).await
}

/// Starts, serves until told to stop, stops. A start that is told to stop ends after the step that runs.
async fn start_and_serve(
    life: &mut Life,
    checked: Checked,
    kept: &mut Kept,
    signals: &mut Signals,
    budget: &StopBudget,
) -> Exit {
    let interrupted = Cell::new(false);
    let booted = {
        let boot = boot(life, checked, &interrupted);
        tokio::pin!(boot);
        loop {
            tokio::select! {
                booted = &mut boot => break booted,
                _ = kept.stop(signals) => if interrupted.replace(true) {
                    // Asked twice: what runs now is left to the deadlines of the stop.
                    break Err(BootFault::Interrupted);
                }
            }
        }
    };
    let exit = match booted {
        Err(BootFault::Interrupted) => None,
        Err(fault) if interrupted.get() => {
            tracing::warn!(reason = %fault, "the start would have failed, had it not been broken off");
            None
        }
        Err(fault) => {
            tracing::error!(reason = %fault, "the daemon cannot start");
            Some(fault.exit())
        }
        Ok(()) => {
            tracing::info!("ready");
            serve(life, kept, signals).await
        }
    };
    budget.arm();
    let course = stop::stop(life, budget.left(), signals).await;
    exit.unwrap_or_else(|| course.exit())
}

/// Serves until a signal says stop, or a worker dies.
async fn serve(life: &mut Life, kept: &mut Kept, signals: &mut Signals) -> Option<Exit> {
    let config = life.config.clone();
    let Some(workers) = &mut life.workers else {
        return Some(Exit::Internal);
    };
    // A check runs beside the loop, one at a time; a HUP meanwhile asks for one more.
    let mut wanted = std::mem::take(&mut kept.hup);
    let mut checking = None;
    loop {
        if wanted && checking.is_none() {
            wanted = false;
            checking = Some(Box::pin(verdict(&config)));
        }
        tokio::select! {
            () = async { if let Some(check) = &mut checking { check.await } else { std::future::pending().await } } => {
                checking = None;
            }
            signal = signals.recv() => match signal {
                Some(signal @ (Signal::Term | Signal::Int)) => {
                    tracing::info!(name = name(signal), "signal");
                    return None;
                }
                Some(Signal::Hup) => {
                    tracing::info!(name = "HUP", "signal");
                    wanted = true;
                }
                Some(signal) => log_only(signal),
                None => return Some(Exit::Internal),
            },
            (number, result) = workers.ended() => {
                let reason = result.err().map_or_else(|| "it ended".to_owned(), |error| error.to_string());
                tracing::error!(worker = number, reason, "a worker has failed; the daemon stops");
                return Some(Exit::Internal);
            }
        }
    }
}

/// Signals that came during the start and are not forgotten.
#[derive(Debug, Default)]
struct Kept {
    hup: bool,
}

impl Kept {
    /// Waits for a signal that says stop; keeps what is for later.
    async fn stop(&mut self, signals: &mut Signals) -> Signal {
        loop {
            match signals.recv().await {
                Some(signal @ (Signal::Term | Signal::Int)) => {
                    tracing::info!(name = name(signal), "signal");
                    return signal;
                }
                Some(Signal::Hup) => self.hup = true,
                Some(signal) => log_only(signal),
                None => std::future::pending().await,
            }
        }
    }
}

fn log_only(signal: Signal) {
    tracing::info!(
        name = name(signal),
        "signal: nothing is bound to it in this version"
    );
}

/// The name without SIG.
fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::Hup => "HUP",
        Signal::Term => "TERM",
        Signal::Int => "INT",
        Signal::Usr1 => "USR1",
        Signal::Usr2 => "USR2",
    }
}

/// SIGHUP in this version: checks the configuration and its plugins, tells, and applies nothing.
async fn verdict(config: &Path) {
    let path = config.to_owned();
    match tasks::blocking(move || vet(&path)).await {
        Ok(Ok(checked)) => {
            checked.warnings.iter().for_each(warn);
            for vetted in &checked.plugins {
                let staged = &vetted.staged;
                tracing::info!(
                    plugin = staged.name,
                    version = vetted.report.version,
                    digest = %staged.digest,
                    "plugin can be loaded"
                );
            }
            tracing::info!(
                services = checked.config.services.len(),
                instances = checked.config.instances.len(),
                "configuration is good"
            );
            tracing::info!("nothing is applied in this version: restart the daemon to use it");
        }
        Ok(Err(faults)) => {
            for fault in &faults {
                match fault.severity {
                    polyport_config::Severity::Warning => warn(fault),
                    polyport_config::Severity::Error => tracing::error!(
                        place = %fault.place,
                        help = fault.help.as_deref().unwrap_or_default(),
                        "configuration: {}", fault.message
                    ),
                }
            }
            tracing::error!(faults = faults.len(), "configuration is bad");
        }
        Err(error) => tracing::error!(%error, "configuration could not be checked"),
    }
}

fn warn(fault: &Fault) {
    let help = fault.help.as_deref().unwrap_or_default();
    tracing::warn!(place = %fault.place, help, "configuration: {}", fault.message);
}
