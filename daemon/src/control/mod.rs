//! The control plane: one task that decides, and the life of the process from the start to the exit.
//!
//! ```text
//! supervisor  signals, requests and timers; one operation at a time   supervisor/, operation.rs
//! desired     a configuration and its plugins, validated              desired/
//! plan        the difference between what runs and what is desired    plan/
//! apply       the new made beside the old, committed or rolled back   apply/
//! running     instances, code and state; their teardown               running/
//! upgrade     another executable takes over, in another process       upgrade/
//! shutdown    everything ends, in one order                           shutdown.rs
//! ```

pub mod startup;
pub mod supervisor;
pub mod operation;
pub mod desired;
pub mod plan;
pub mod apply;
pub mod running;
pub mod auto_rollback;
pub mod upgrade;
pub mod shutdown;
pub mod process;
pub mod data_plane;
pub mod listen;
pub mod service_manager;
pub mod signals;
pub mod exit;
pub mod status;
pub mod admin;
pub mod check;
pub mod seal;

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

pub use check::check;
pub use exit::Exit;
pub use seal::seal;

use admin::Admin;
use data_plane::DataPlane;
use listen::activation::Activation;
use process::{Context, Process};
use running::Inventory;
use service_manager::ServiceManager;
use shutdown::{extend_stop, shut_down};
use signals::{Signals, StopBudget};
use startup::{Startup, start_up};
use status::Facts;
use supervisor::{Finished, Supervisor, reply_while_stopping};
use upgrade::drain_old::drain_old_process;
use upgrade::{Executable, InheritedFds};

use crate::log;

/// Time for a stop before the configuration is known.
const STOP_BUDGET: Duration = Duration::from_secs(40);

/// Runs the daemon until it is stopped, and ends the process. `inherited` was passed by the service manager or by the
/// old process.
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
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed("the control runtime", error),
    };
    let inside = runtime.enter();
    let old_process = match inherited.old_process() {
        Ok(old_process) => old_process,
        Err(error) => return failed("the line to the process before this one", error),
    };
    drop(inside);
    manager.mute(old_process.is_some());
    let activation = Activation::new(inherited.sockets);
    let process = Process::new(config, manager, executable, old_process, activation);
    let exit = runtime.block_on(run_process(&process, &mut signals, &budget));
    tracing::info!(exit = exit.number(), "stopped");
    log::finish();
    // Not by `exit`: its destructors would run beside threads that may still be inside of a plugin.
    polyport_sys::process::exit_now(i32::from(exit.number()));
}

/// Starts, serves and stops. An old process that still serves is notified of a failure, and serves on.
async fn run_process(process: &Process, signals: &mut Signals, budget: &StopBudget) -> Exit {
    let exit = match start_up(process, signals, budget).await {
        Ok(startup) => serve(process, startup, signals, budget).await,
        Err(exit) => exit,
    };
    if let Some(old) = process.serving_old_process() {
        let failure = process.start_failure.take();
        let reason = failure.unwrap_or_else(|| format!("it ends with code {}", exit.number()));
        old.send_failure(reason).await;
    }
    exit
}

/// Supervises until the daemon is to stop, then stops. Admin requests are answered until the end.
async fn serve(
    process: &Process,
    startup: Startup,
    signals: &mut Signals,
    budget: &StopBudget,
) -> Exit {
    let (inventory, plane) = (Inventory::default(), DataPlane::default());
    let context = Context {
        process,
        inventory: &inventory,
        plane: &plane,
    };
    let (admin, requests) = startup.admin.unzip();
    let (valid, reload) = (startup.valid, startup.reload_requested);
    let supervisor = Supervisor::new(context, budget, requests, valid, reload);
    let supervised = supervise(context, supervisor, signals, budget);
    match admin {
        // The socket closes when the supervisor and the stop have dropped the receiver of requests.
        Some(admin) => tokio::join!(supervised, serve_admin(process, admin)).0,
        None => supervised.await,
    }
}

async fn supervise(
    context: Context<'_>,
    mut supervisor: Supervisor<'_>,
    signals: &mut Signals,
    budget: &StopBudget,
) -> Exit {
    let Context {
        process,
        inventory,
        plane,
    } = context;
    let failed = supervisor.run(signals).await;
    let mut finished: Finished = supervisor.close().await;
    let mut grace = inventory.drain_timeout.get();
    let old = process.old_process.as_ref();
    if let Some(mut new) = finished.new_process.take() {
        // From now on the new process answers admin requests.
        finished.requests = None;
        if finished.interrupted {
            new.stop();
        }
        let deadline = Instant::now() + grace;
        drain_old_process(plane, old, &mut new, signals, deadline).await;
        grace = deadline.saturating_duration_since(Instant::now());
    }
    budget.arm();
    process.manager.stopping("draining");
    inventory.state().unstore_unix_sockets(&process.manager);
    let facts = Facts {
        context,
        history: &finished.history,
        drained: &[],
        confirm_within_seconds: None,
        busy: false,
        stopping: true,
    };
    let stop = async {
        let report = shut_down(context, grace, budget.left(), signals).await;
        if let Some(older) = old.filter(|old| !old.serves()) {
            older.stop(budget.left()).await;
        }
        report
    };
    let report = tokio::select! {
        report = stop => report,
        never = reply_while_stopping(finished.requests, &facts) => never,
        never = extend_stop(&process.manager) => never,
    };
    failed.unwrap_or_else(|| report.exit())
}

/// Serves the admin socket, once the old process does not any more.
async fn serve_admin(process: &Process, admin: Admin) {
    tokio::select! {
        () = process.has_taken_over() => {}
        () = admin.closed() => {}
    }
    admin.serve().await;
}
