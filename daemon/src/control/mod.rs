//! The slow side: decides. One task owns the state; signals, the admin socket and the end of workers are its events.
//!
//! ```text
//! vet        a configuration and its plugins, checked          vet.rs
//! target     all that is wanted, whole                         target.rs
//! plan       what lies between what serves and a target        plan.rs
//! change     made beside what serves, swapped, or undone       change/
//! leave      what was replaced drains and is torn down         leave.rs
//! succession another executable takes over, in another process succession/
//! desk       one wish at a time; who asked is told             desk/, admin/
//! stop       everything ends, in one order                     stop.rs
//! ```

pub mod supervisor;
pub mod operation;
pub mod desired;
pub mod plan;
pub mod apply;
pub mod running;
pub mod life;
pub mod auto_rollback;
pub mod upgrade;
pub mod shutdown;
pub mod listen;
pub mod data_plane;
pub mod service_manager;
pub mod signals;
pub mod exit;
pub mod status;
pub mod admin;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polyport_config::{Faults, LogFormat, LogLevel};
use polyport_sys::signals::Signal;

pub use exit::Exit;

use admin::{Admin, Request};
use desired::load::{ValidationCache, validate};
use life::Life;
use service_manager::ServiceManager;
use signals::{Signals, StopBudget, name_of};
use status::listing::Facts;
use supervisor::{Finished, Supervisor, reply_while_stopping};
use tokio::sync::mpsc;
use upgrade::drain_old::drain_old_process;
use upgrade::{Executable, InheritedFds};

use crate::log;
use polyport_common::tasks;

/// Before the configuration is known.
const STOP_BUDGET: Duration = Duration::from_secs(40);

/// `polyportd --check`: prints every fault; serves nothing, writes nothing.
#[must_use]
pub fn check(config: &Path, quiet: bool) -> Exit {
    match validate(config, &ValidationCache::default()) {
        Ok(checked) => {
            if !quiet {
                let warnings = Faults::new(checked.warnings, checked.sources);
                if !warnings.is_empty() {
                    print(&warnings);
                }
                let desired = &checked.desired;
                let (instances, services) = (&desired.config.instances, &desired.config.services);
                drop(writeln!(
                    io::stdout(),
                    "{}: configuration is good: services {}, instances {}, plugins {}",
                    config.display(),
                    services.len(),
                    instances.len(),
                    desired.files.len()
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

/// Runs the daemon until it is told to stop. `manager` is whom the service manager is told by, `bequest` what it or the
/// process before this one has passed.
#[must_use]
pub fn run(
    config: &Path,
    manager: ServiceManager,
    executable: Executable,
    mut inherited: InheritedFds,
) -> Exit {
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
    let old_process = {
        let _inside = runtime.enter();
        match inherited.old_process() {
            Ok(old_process) => old_process,
            Err(error) => return failed("the line to the process before this one", error),
        }
    };
    manager.mute(old_process.is_some());
    let life = Life::new(config.to_owned(), manager, executable);
    let life = life.after(old_process, inherited.sockets);
    let exit = runtime.block_on(live(&life, &mut signals, &budget));
    tracing::info!(exit = exit.number(), "stopped");
    log::finish();
    // Not by way of `exit`: threads may still be inside of a plugin, and its destructors would run beside them.
    polyport_sys::process::exit_now(i32::from(exit.number()));
}

/// The whole life: check, start, serve, stop.
async fn live(life: &Life, signals: &mut Signals, budget: &StopBudget) -> Exit {
    let exit = check_and_serve(life, signals, budget).await;
    if let Some(old_process) = life.old_process.as_ref().filter(|one| one.serves()) {
        let failure = life.failure.take();
        let reason = failure.unwrap_or_else(|| format!("it ends with code {}", exit.number()));
        old_process.fail(reason).await;
    }
    exit
}

async fn check_and_serve(life: &Life, signals: &mut Signals, budget: &StopBudget) -> Exit {
    let path = life.path.clone();
    let validator = tasks::blocking(move || validate(&path, &ValidationCache::default()));
    let mut hung_up = false;
    let checked = tokio::select! {
        checked = validator => checked,
        () = told_to_stop(signals, &mut hung_up) => {
            // A child that is being probed ends by its own alarm.
            return Exit::Clean;
        }
    };
    let checked = match checked {
        Ok(Ok(checked)) => checked,
        Ok(Err(faults)) => {
            print(&faults);
            let first = operation::first(&faults);
            life.manager.status(&format!("cannot start: {first}"));
            life.failure.replace(Some(first));
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
    let values = &checked.desired.config;
    log::start(values.log.format, values.log.level);
    budget.set(values.daemon.stop_timeout);
    checked.warnings.iter().for_each(operation::warn);
    let Some(path) = values.admin.socket.clone() else {
        let supervisor = Supervisor::new(life, budget, None, checked, hung_up);
        return serve(life, supervisor, signals, budget).await;
    };
    let (admin, requests) = match open_admin(life, &path) {
        Ok(opened) => opened,
        Err(error) => {
            let reason = format!("admin.socket {}: {error}", path.display());
            life.failure.replace(Some(reason));
            tracing::error!(
                path = %path.display(),
                %error,
                "the admin socket cannot be opened; admin.socket says where it is, and off turns it off"
            );
            return Exit::Bind;
        }
    };
    let supervisor = Supervisor::new(life, budget, Some(requests), checked, hung_up);
    // It ends when desk and stop have let go of the requests.
    tokio::join!(
        serve(life, supervisor, signals, budget),
        answer(life, admin)
    )
    .0
}

/// The admin socket: that of the process before this one, if it is at the same path.
fn open_admin(life: &Life, path: &Path) -> io::Result<(Admin, mpsc::Receiver<Request>)> {
    let guest = life.old_process.as_ref();
    let opened = match guest.and_then(|old_process| old_process.take_admin(path)) {
        Some(socket) => Admin::take_over(socket)?,
        None => Admin::open(path)?,
    };
    let claim = opened.0.handle()?;
    // It is opened once.
    drop(life.admin.set(claim));
    Ok(opened)
}

/// Answers who asks, unless that is the affair of the process before this one.
async fn answer(life: &Life, admin: Admin) {
    tokio::select! {
        () = life.has_place() => {}
        () = admin.is_over() => {}
    }
    admin.serve().await;
}

/// Serves from the start to the stop.
async fn serve(
    life: &Life,
    mut supervisor: Supervisor<'_>,
    signals: &mut Signals,
    budget: &StopBudget,
) -> Exit {
    let exit = supervisor.serve(signals).await;
    let Finished {
        history,
        mut admin,
        new_process,
        interrupted,
    } = supervisor.close().await;
    let mut grace = life.drain_timeout.get();
    if let Some(mut new_process) = new_process {
        // Who asks is answered there from now on.
        admin = None;
        if interrupted {
            new_process.tell_to_stop();
        }
        let deadline = Instant::now() + grace;
        drain_old_process(life, &mut new_process, signals, deadline).await;
        grace = deadline.saturating_duration_since(Instant::now());
    }
    budget.arm();
    life.manager.stopping("draining");
    life.state().forget_files(&life.manager);
    let facts = Facts {
        life,
        history: &history,
        drained: &[],
        confirm_within_seconds: None,
        busy: false,
        stopping: true,
    };
    let ends = async {
        let course = shutdown::stop(life, grace, budget.left(), signals).await;
        if let Some(old_process) = life.old_process.as_ref().filter(|one| !one.serves()) {
            old_process.end(budget.left()).await;
        }
        course
    };
    let course = tokio::select! {
        course = ends => course,
        never = reply_while_stopping(admin, &facts) => never,
        never = extend(&life.manager) => never,
    };
    exit.unwrap_or_else(|| course.exit())
}

/// Waits for a signal that says stop; notes one that asks for a reload.
async fn told_to_stop(signals: &mut Signals, hung_up: &mut bool) {
    loop {
        match signals.recv().await {
            Some(signal @ (Signal::Term | Signal::Int)) => {
                tracing::info!(name = name_of(signal), "signal");
                return;
            }
            Some(Signal::Hup) => *hung_up = true,
            Some(Signal::Usr1 | Signal::Usr2) => {}
            None => std::future::pending().await,
        }
    }
}

/// How much longer the service manager is told to wait, and how often.
const EXTENSION: Duration = Duration::from_secs(10);
const EXTEND_EVERY: Duration = Duration::from_secs(3);

/// Tells the service manager, as long as the stop goes on, that it does; `stop-timeout` bounds it.
async fn extend(manager: &ServiceManager) -> shutdown::Course {
    let watchdog = manager.watchdog_interval();
    let pause = watchdog.map_or(EXTEND_EVERY, |interval| interval.min(EXTEND_EVERY));
    loop {
        manager.extend(EXTENSION);
        if watchdog.is_some() {
            manager.alive();
        }
        tokio::time::sleep(pause).await;
    }
}
