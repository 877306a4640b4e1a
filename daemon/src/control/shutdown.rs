//! The stop, in one order everywhere: broadcast, drain under the grace period, force, then the hooks of each
//! instance in reverse order of their start. Whatever fails or is late is told and passed over.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::hooks::Hook;
use polyport_host::stream::deadline_in;
use polyport_sys::signals::Signal;

use crate::control::Exit;
use crate::control::life::Life;
use crate::control::running::hooks::{FORCED_HOOK_TIMEOUT, HookCalls, log_hook_result, next};
use crate::control::running::state::InstanceHandle;
use crate::control::running::store::Saved;
use crate::control::signals::{Signals, name_of};
use polyport_common::shutdown::Phase;
use polyport_common::tasks;

/// What closing listeners may take before they are closed from here: no time, unless a callback is stuck.
const CLOSE_TIME: Duration = Duration::from_millis(500);
/// From halting the workers to looking at what they are inside of, and between two looks.
const HALT_TIME: Duration = Duration::from_millis(50);
/// How a stop went.
#[derive(Debug, Default)]
pub struct Course {
    /// The grace ran out, or a second signal came.
    pub(super) forced: bool,
    /// A hook failed or was late.
    pub(super) hook_failed: bool,
    /// Something of a plugin still runs: generations must not retire beneath it.
    abandoned: bool,
}

impl Course {
    /// The exit code.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self { forced: true, .. } => Exit::Forced,
            Self {
                hook_failed: true, ..
            } => Exit::Hook,
            Self { .. } => Exit::Clean,
        }
    }
}

/// Ends everything that lives, streams within `grace`. `budget` bounds the whole; a further signal hurries.
pub async fn stop(life: &Life, grace: Duration, budget: Duration, signals: &mut Signals) -> Course {
    let until = Instant::now() + budget;
    let mut course = Course::default();
    let grace = grace.min(budget);
    let deadline = Instant::now() + grace;
    tracing::info!(
        grace_seconds = grace.as_secs_f64(),
        streams = life.live(),
        "shutdown announced"
    );
    life.let_go_of_sockets();
    life.shutdown.announce(Phase::Drain { deadline });
    if let Some(workers) = life.workers.get() {
        // Listeners close before any instance is told, unless a worker is stuck.
        let closed = tokio::time::timeout(CLOSE_TIME, workers.listeners_closed()).await;
        if closed.is_err() {
            workers.refuse_all();
        }
    }
    let hurry = drain(life, deadline, signals, &mut course).await;
    // Late hooks of instances end the grace too; forced is what was done to streams, or asked for by a signal.
    course.forced = match hurry {
        Some(ForceReason::Signal) => true,
        Some(ForceReason::Grace { streams }) => streams != 0,
        None => false,
    };
    let each = match hurry {
        Some(ForceReason::Signal) => FORCED_HOOK_TIMEOUT.min(life.hook_timeout.get()),
        Some(ForceReason::Grace { .. }) | None => life.hook_timeout.get(),
    };
    let mut calls = HookCalls {
        each,
        until,
        signals,
    };
    end_workers(life, &mut calls, &mut course).await;
    hooks(life, &mut calls, &mut course).await;
    course
}

/// Why a drain did not end by itself.
enum ForceReason {
    /// The grace period ran out, with so many streams left.
    Grace { streams: usize },
    /// A further signal.
    Signal,
}

/// Waits until streams and instances are done, the grace ends, or a signal says so. Instances and streams drain side
/// by side: an instance may hold its streams until it is done.
async fn drain(
    life: &Life,
    deadline: Instant,
    signals: &mut Signals,
    course: &mut Course,
) -> Option<ForceReason> {
    let streams = async {
        life.shutdown.all_gone().await;
        tracing::info!("drain finished");
    };
    let done = async { tokio::join!(drain_instances(life.instances(), deadline), streams).0 };
    // A moment more than the instances have, so that those that are late are named first.
    let end = tokio::time::sleep_until((deadline + Duration::from_millis(20)).into());
    tokio::pin!(done, end);
    loop {
        tokio::select! {
            biased;
            failed = &mut done => {
                course.hook_failed |= failed;
                return None;
            }
            signal = next(signals) => match signal {
                Signal::Term | Signal::Int => {
                    let name = name_of(signal);
                    tracing::warn!(name, streams = life.live(), "signal: the grace ends now");
                    life.shutdown.announce(Phase::Force);
                    return Some(ForceReason::Signal);
                }
                Signal::Hup => {
                    tracing::warn!(name = "HUP", "signal: no reload while the daemon stops");
                }
                other => tracing::info!(name = name_of(other), "signal"),
            },
            () = &mut end => {
                let streams = life.live();
                tracing::warn!(streams, "grace ended");
                life.shutdown.announce(Phase::Force);
                return Some(ForceReason::Grace { streams });
            }
        }
    }
}

/// `HookCalls` `drain` of all instances, begun in reverse order of their start; says whether one failed.
async fn drain_instances(instances: Vec<Arc<InstanceHandle>>, deadline: Instant) -> bool {
    let mut failed = false;
    let left = || deadline.saturating_duration_since(Instant::now());
    let mut running = Vec::new();
    for handle in instances.iter().rev().filter(|handle| handle.is_started()) {
        tracing::info!(instance = handle.name(), "instance drain");
        // Each begins at once, in order; then they are waited for.
        running.push((
            handle,
            handle
                .hook_thread
                .call(Hook::Drain(deadline_in(left())), left()),
        ));
    }
    for (handle, call) in running {
        failed |= log_hook_result(handle, "drain", call.await).is_none();
    }
    failed
}

/// Waits for the workers. One that is stuck in a callback is given up: it enters no plugin any more, and the
/// callback's instance is abandoned.
async fn end_workers(life: &Life, calls: &mut HookCalls<'_>, course: &mut Course) {
    let Some(workers) = life.workers.get() else {
        return;
    };
    let gone = async { life.shutdown.all_gone().await };
    if calls.beside(gone, course).await.is_some() {
        // They have let go of everything; their threads end within moments.
        for _ in 0..50 {
            if workers.join() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        return;
    }
    course.forced = true;
    course.abandoned = true;
    workers.refuse_all();
    workers.halt();
    tokio::time::sleep(HALT_TIME).await;
    let before = workers.inside();
    tokio::time::sleep(HALT_TIME).await;
    let still: HashSet<u32> = workers
        .inside()
        .iter()
        .filter(|one| before.contains(one))
        .map(|one| one.instance)
        .collect();
    for handle in life.instances() {
        let instance = handle.hook_thread.instance();
        if still.contains(&instance.index()) {
            let name = instance.name();
            tracing::error!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                hook = "callback",
                reason = "a callback has not returned",
                "instance abandoned"
            );
            handle.hook_thread.abandon();
        }
    }
    // Those that are stuck are left behind: the process ends without them.
    let _all = workers.join();
}

/// For each instance in reverse order: save, stop, destroy. Then the generations retire.
async fn hooks(life: &Life, calls: &mut HookCalls<'_>, course: &mut Course) {
    for handle in life.instances().iter().rev() {
        if handle.is_started() {
            // What was replaced, or never served, would overwrite the state of the one that serves.
            let output = if owns_state(life, handle) {
                calls.call(handle, Hook::Save, course).await
            } else {
                None
            };
            if let Some(bytes) = output.and_then(|output| output.saved) {
                save(life, handle, bytes, calls, course).await;
            }
            handle.set_started(false);
            if calls.call(handle, Hook::Stop, course).await.is_some() {
                tracing::info!(instance = handle.name(), "instance stopped");
            }
        }
        let created = handle.hook_thread.instance().is_created();
        if calls.call(handle, Hook::Destroy, course).await.is_some() && created {
            metrics(handle);
            tracing::info!(instance = handle.name(), "instance destroyed");
        }
        course.abandoned |= handle.hook_thread.is_abandoned();
    }
    if course.abandoned {
        return;
    }
    let residents = life.code.borrow().all().to_vec();
    let instances = life.instances();
    for generation in residents.iter().map(|one| &one.generation) {
        let is = |handle: &&Arc<InstanceHandle>| {
            Arc::ptr_eq(handle.hook_thread.instance().generation(), generation)
        };
        if generation.instances() > instances.iter().filter(is).count() {
            // One that was undone earlier and given up: a hook of it has not returned.
            continue;
        }
        let retiring = Arc::clone(generation);
        let retired = calls
            .beside(tasks::blocking(move || retiring.retire()), course)
            .await;
        let reason = match retired {
            Some(Ok(Ok(()))) => continue,
            Some(Ok(Err(refusal))) => refusal.to_string(),
            Some(Err(error)) => error.to_string(),
            None => "has not returned by its deadline".to_owned(),
        };
        course.hook_failed = true;
        let plugin = &generation.name;
        tracing::error!(
            plugin,
            generation = generation.number,
            hook = "fini",
            reason,
            "hook failed"
        );
    }
}

/// Is it this instance's state that is to rest? Not that of one whose start is undone: it was never asked for more
/// than it was given. Nor while it is that of the process before this one.
fn owns_state(life: &Life, handle: &Arc<InstanceHandle>) -> bool {
    let undo = life.undo.borrow();
    let replaces = |new: &Arc<InstanceHandle>| life.state().instance(new.name()).is_some();
    let made = undo.instances.iter().any(|one| Arc::ptr_eq(one, handle));
    handle.owns_state() && !life.is_standby() && !(made && replaces(handle))
}

/// Puts the state to rest. State that is lost is no clean stop.
async fn save(
    life: &Life,
    handle: &InstanceHandle,
    bytes: Vec<u8>,
    calls: &mut HookCalls<'_>,
    course: &mut Course,
) {
    let instance = handle.hook_thread.instance();
    let name = instance.name().instance.clone();
    let Some(store) = life.store.borrow().clone() else {
        return;
    };
    let size = bytes.len();
    let saved = Saved {
        version: instance.handler().state_version,
        bytes,
    };
    let path = store.path(&name);
    let (store, handler, of) = (store.clone(), instance.handler().id.clone(), name.clone());
    let saving = tasks::blocking(move || store.save(&of, &handler, &saved));
    let error = match calls.beside(saving, course).await {
        Some(Ok(Ok(()))) => {
            tracing::info!(instance = name, bytes = size, "state saved");
            return;
        }
        Some(Ok(Err(error))) => error.to_string(),
        Some(Err(error)) => error.to_string(),
        None => "the disk takes longer than the hook-timeout".to_owned(),
    };
    course.hook_failed = true;
    let path = path.display();
    tracing::error!(instance = name, %path, error, "the state could not be saved; the one before it stays");
}

/// The last values of an instance's metrics: nobody can ask for them any more.
fn metrics(handle: &InstanceHandle) {
    let instance = handle.hook_thread.instance();
    for (series, value) in instance.registry().metrics().of(instance.id()) {
        let labels = format!("{:?}", series.labels);
        tracing::debug!(
            instance = instance.name().instance,
            metric = series.name,
            labels,
            value,
            "metric"
        );
    }
}
