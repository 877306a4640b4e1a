//! The stop, always in one order: announce, drain within the grace period, force, then the teardown of each instance in
//! reverse order of the starts, and of the code. What fails or is late is logged and passed over.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_sys::signals::Signal;

use super::Exit;
use super::process::Context;
use super::running::InstanceHandle;
use super::running::hooks::{FORCED_HOOK_TIMEOUT, HookCalls, abandon};
use super::running::teardown::{self, Cause, State, log_fini_failed, retire_generation, teardown};
use super::service_manager::ServiceManager;
use super::signals::{Signals, name_of};
use polyport_common::shutdown::Phase;

/// How long workers may take to close their listeners; longer only if one is stuck in a callback.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Time between halting the workers and each of two looks at the callbacks that they are inside of.
const HALT_TIME: Duration = Duration::from_millis(50);
/// Added to the grace period, so that instances with a late drain are logged first.
const GRACE_MARGIN: Duration = Duration::from_millis(20);
/// Intervals at which, and how often, the end of the worker threads is checked.
const JOIN_POLL: Duration = Duration::from_millis(10);
const JOIN_POLLS: usize = 50;
/// How much more time the service manager is asked for, and how often.
const EXTENSION: Duration = Duration::from_secs(10);
const EXTENSION_INTERVAL: Duration = Duration::from_secs(3);

/// How a stop went.
#[derive(Debug, Default)]
pub struct StopReport {
    /// The grace period was not enough, or a second signal came.
    forced: bool,
    /// A hook failed or was late.
    hook_failed: bool,
    /// Something of a plugin still runs, so that no `fini` may be called.
    abandoned: bool,
}

/// Why a drain did not end by itself.
enum ForceReason {
    /// The grace period ended with this many streams left.
    GraceEnded { streams: usize },
    /// A further signal to stop.
    Signal,
}

impl StopReport {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        if self.forced {
            Exit::Forced
        } else if self.hook_failed {
            Exit::Hook
        } else {
            Exit::Clean
        }
    }
}

/// Ends everything that the inventory has, streams within `grace`. `budget` bounds the whole stop; a further signal
/// shortens it.
pub async fn shut_down(
    context: Context<'_>,
    grace: Duration,
    budget: Duration,
    signals: &mut Signals,
) -> StopReport {
    let Context {
        inventory, plane, ..
    } = context;
    let until = Instant::now() + budget;
    let mut report = StopReport::default();
    let grace = grace.min(budget);
    let deadline = Instant::now() + grace;
    tracing::info!(
        grace_seconds = grace.as_secs_f64(),
        streams = plane.streams(),
        "shutdown announced"
    );
    inventory.drop_listeners();
    plane.shutdown.announce(Phase::Drain { deadline });
    // Listeners close before any `drain` is called, unless a worker is stuck.
    let closed = tokio::time::timeout(CLOSE_TIMEOUT, plane.listeners_closed()).await;
    if closed.is_err() {
        plane.close_listeners();
    }
    let force = drain(context, deadline, signals, &mut report).await;
    // A late drain of an instance ends the grace period too, but forces nothing unless streams are left.
    let (forced, timeout) = match force {
        Some(ForceReason::Signal) => {
            let timeout = FORCED_HOOK_TIMEOUT.min(inventory.hook_timeout.get());
            (true, timeout)
        }
        Some(ForceReason::GraceEnded { streams }) => (streams != 0, inventory.hook_timeout.get()),
        None => (false, inventory.hook_timeout.get()),
    };
    report.forced = forced;
    let mut calls = HookCalls::in_shutdown(timeout, until, signals);
    end_workers(context, &mut calls, &mut report).await;
    end_instances(context, &mut calls, &mut report).await;
    if !report.abandoned {
        end_code(context, &mut calls).await;
    }
    report.forced |= calls.forced;
    report.hook_failed |= calls.failed;
    report
}

/// Waits until streams and instances have drained, the grace period ends, or a signal comes. Streams and instances drain
/// side by side: an instance may keep its streams until its drain is done.
async fn drain(
    context: Context<'_>,
    deadline: Instant,
    signals: &mut Signals,
    report: &mut StopReport,
) -> Option<ForceReason> {
    let plane = context.plane;
    let streams = async {
        plane.shutdown.all_gone().await;
        tracing::info!("drain finished");
    };
    let instances = drain_instances(context.inventory.instances(), deadline);
    let done = async { tokio::join!(instances, streams).0 };
    let end = tokio::time::sleep_until((deadline + GRACE_MARGIN).into());
    tokio::pin!(done, end);
    loop {
        tokio::select! {
            biased;
            failed = &mut done => {
                report.hook_failed |= failed;
                return None;
            }
            signal = signals.next() => match signal {
                Signal::Term | Signal::Int => {
                    let name = name_of(signal);
                    tracing::warn!(name, streams = plane.streams(), "signal: the grace ends now");
                    plane.shutdown.announce(Phase::Force);
                    return Some(ForceReason::Signal);
                }
                Signal::Hup => {
                    tracing::warn!(name = "HUP", "signal: no reload while the daemon stops");
                }
                other => tracing::info!(name = name_of(other), "signal"),
            },
            () = &mut end => {
                let streams = plane.streams();
                tracing::warn!(streams, "grace ended");
                plane.shutdown.announce(Phase::Force);
                return Some(ForceReason::GraceEnded { streams });
            }
        }
    }
}

/// Drains all instances at the same time, begun in reverse order of their starts. Returns whether a drain failed.
async fn drain_instances(instances: Vec<Arc<InstanceHandle>>, deadline: Instant) -> bool {
    let mut drains = Vec::new();
    for handle in instances.iter().rev().filter(|one| one.is_started()) {
        tracing::info!(instance = handle.name(), "instance drain");
        drains.push(teardown::drain(handle, deadline));
    }
    let mut failed = false;
    for drain in drains {
        failed |= !drain.await;
    }
    failed
}

/// Waits for the workers. One that is stuck in a callback is left behind: it enters no plugin any more, and the instance
/// of the callback is abandoned.
async fn end_workers(context: Context<'_>, calls: &mut HookCalls<'_>, report: &mut StopReport) {
    let plane = context.plane;
    if plane.worker_count() == 0 {
        return;
    }
    if calls.bounded(plane.shutdown.all_gone()).await.is_some() {
        // They have nothing left, so that their threads end within moments.
        for _ in 0..JOIN_POLLS {
            if plane.join() {
                return;
            }
            tokio::time::sleep(JOIN_POLL).await;
        }
        return;
    }
    report.forced = true;
    report.abandoned = true;
    plane.close_listeners();
    plane.halt();
    tokio::time::sleep(HALT_TIME).await;
    let before = plane.current_calls();
    tokio::time::sleep(HALT_TIME).await;
    let stuck: HashSet<u32> = plane
        .current_calls()
        .iter()
        .filter(|one| before.contains(one))
        .map(|one| one.instance)
        .collect();
    for handle in context.inventory.instances() {
        if stuck.contains(&handle.index()) {
            abandon(&handle, "a callback has not returned");
        }
    }
    // The process ends without the stuck ones.
    plane.join();
}

async fn end_instances(context: Context<'_>, calls: &mut HookCalls<'_>, report: &mut StopReport) {
    for handle in context.inventory.instances().iter().rev() {
        let state = if saves_state(context, handle) {
            State::Save(context.inventory.store.borrow().clone())
        } else {
            State::Drop
        };
        teardown(handle, state, Cause::Shutdown, calls).await;
        report.abandoned |= handle.hook_thread.is_abandoned();
    }
}

/// Returns whether the instance saves its state. Not if it was replaced or its start is undone, because it would
/// overwrite the state of the serving instance; nor while an old process has the state.
fn saves_state(context: Context<'_>, handle: &Arc<InstanceHandle>) -> bool {
    let inventory = context.inventory;
    let starting = inventory.starting.borrow();
    let is_starting = starting.iter().any(|one| Arc::ptr_eq(one, handle));
    let replaces = is_starting && inventory.state().instance(handle.name()).is_some();
    handle.owns_state() && !context.process.is_standby() && !replaces
}

/// Calls `fini` of all generations, except those with an abandoned instance.
async fn end_code(context: Context<'_>, calls: &mut HookCalls<'_>) {
    let residents = context.inventory.code.borrow().all().to_vec();
    let instances = context.inventory.instances();
    for generation in residents.iter().map(|one| &one.generation) {
        let known = instances.iter().filter(|handle| handle.runs(generation));
        if generation.instances() > known.count() {
            // An instance was rolled back earlier and abandoned: a hook of it has not returned.
            continue;
        }
        let retired = calls.bounded(retire_generation(generation)).await;
        let late = || Err("has not returned by its deadline".to_owned());
        if let Err(reason) = retired.unwrap_or_else(late) {
            calls.failed = true;
            log_fini_failed(generation, &reason);
        }
    }
}

/// Asks the service manager for more time, as long as the stop goes on; `stop-timeout` bounds it. Never returns.
pub async fn extend_stop(manager: &ServiceManager) -> StopReport {
    let watchdog = manager.watchdog_interval();
    let interval = watchdog.map_or(EXTENSION_INTERVAL, |one| one.min(EXTENSION_INTERVAL));
    loop {
        manager.extend(EXTENSION);
        if watchdog.is_some() {
            manager.alive();
        }
        tokio::time::sleep(interval).await;
    }
}
