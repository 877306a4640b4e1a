//! The steps of the start before the supervisor: the validated configuration, the log and the admin socket.

use std::io;
use std::io::Write as _;
use std::path::Path;

use polyport_config::{LogFormat, LogLevel};
use polyport_sys::signals::Signal;
use tokio::sync::mpsc;

use super::Exit;
use super::admin::{Admin, Request};
use super::desired::faults::{log_warning, print, summary};
use super::desired::load::{ValidConfig, ValidationCache, validate};
use super::process::Process;
use super::signals::{Signals, StopBudget, name_of};
use crate::log;
use polyport_common::tasks;

/// What the supervisor begins with.
#[derive(Debug)]
pub struct Startup {
    /// The configuration.
    pub valid: ValidConfig,
    /// A reload signal came meanwhile.
    pub reload_requested: bool,
    /// The admin socket, unless it is off.
    pub admin: Option<(Admin, mpsc::Receiver<Request>)>,
}

/// Validates the configuration, starts the log and opens the admin socket.
///
/// # Errors
/// The exit code; why was printed or logged.
pub async fn start_up(
    process: &Process,
    signals: &mut Signals,
    budget: &StopBudget,
) -> Result<Startup, Exit> {
    let path = process.config_path.clone();
    let validating = tasks::blocking(move || validate(&path, &ValidationCache::default()));
    let mut reload_requested = false;
    let validated = tokio::select! {
        validated = validating => validated,
        // A probe child that runs ends by its own alarm.
        () = stop_signal(signals, &mut reload_requested) => return Err(Exit::Clean),
    };
    let valid = match validated {
        Ok(Ok(valid)) => valid,
        Ok(Err(faults)) => {
            print(&faults);
            let first = summary(&faults);
            process.manager.status(&format!("cannot start: {first}"));
            process.start_failure.replace(Some(first));
            log::start(LogFormat::Auto, LogLevel::Info);
            return Err(Exit::Config);
        }
        Err(error) => {
            drop(writeln!(
                io::stderr(),
                "error: checking the configuration: {error}"
            ));
            return Err(Exit::Internal);
        }
    };
    let config = &valid.desired.config;
    log::start(config.log.format, config.log.level);
    budget.set(config.daemon.stop_timeout);
    valid.warnings.iter().for_each(log_warning);
    let path = config.admin.socket.as_deref();
    let admin = path.map(|path| open_admin(process, path)).transpose()?;
    Ok(Startup {
        valid,
        reload_requested,
        admin,
    })
}

/// Opens the admin socket, or takes it over if the old process has it at the same path.
fn open_admin(process: &Process, path: &Path) -> Result<(Admin, mpsc::Receiver<Request>), Exit> {
    let old = process.old_process.as_ref();
    let opened = match old.and_then(|old| old.take_admin(path)) {
        Some(socket) => Admin::take_over(socket),
        None => Admin::open(path),
    };
    let opened = opened.and_then(|(admin, requests)| Ok((admin.handle()?, admin, requests)));
    match opened {
        Ok((handle, admin, requests)) => {
            // Opened once.
            drop(process.admin.set(handle));
            Ok((admin, requests))
        }
        Err(error) => {
            let reason = format!("admin.socket {}: {error}", path.display());
            process.start_failure.replace(Some(reason));
            tracing::error!(
                path = %path.display(),
                %error,
                "the admin socket cannot be opened; admin.socket says where it is, and off turns it off"
            );
            Err(Exit::Bind)
        }
    }
}

/// Waits for a signal to stop; records one to reload.
async fn stop_signal(signals: &mut Signals, reload_requested: &mut bool) {
    loop {
        match signals.next().await {
            signal @ (Signal::Term | Signal::Int) => {
                tracing::info!(name = name_of(signal), "signal");
                return;
            }
            Signal::Hup => *reload_requested = true,
            Signal::Usr1 | Signal::Usr2 => {}
        }
    }
}
