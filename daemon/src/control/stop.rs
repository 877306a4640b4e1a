//! The stop, in one order everywhere: broadcast, drain under the grace period, force, then the hooks of each
//! instance in reverse order of their start. Whatever fails or is late is told and passed over.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use polyport_host::hooks::{Hook, HookOutput};
use polyport_host::hub::hub;
use polyport_host::keeper::HookFault;
use polyport_host::stream::deadline_in;
use polyport_sys::signals::Signal;
use tokio::sync::mpsc;

use super::Exit;
use super::life::{Held, Life};
use super::state::Saved;
use crate::common::shutdown::Phase;

/// What is left to workers after they were told to force: closing sockets takes no time unless a callback is stuck.
const FORCE_TIME: Duration = Duration::from_millis(500);
/// Deadline of each hook when the stop is in a hurry.
const HURRY: Duration = Duration::from_secs(1);
/// The least that a hook gets, however little of the budget is left.
const LEAST: Duration = Duration::from_millis(100);

/// How a stop went.
#[derive(Debug, Default)]
pub struct Course {
    /// The grace ran out, or a second signal came.
    forced: bool,
    /// A hook failed or was late.
    hook_failed: bool,
    /// Something of a plugin still runs: the process must not wait for it.
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

    /// Must the process end without waiting for threads?
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.abandoned
    }
}

/// Ends everything that lives. `budget` bounds the whole; a further signal hurries.
pub async fn stop(
    life: &mut Life,
    budget: Duration,
    signals: &mut mpsc::Receiver<Signal>,
) -> Course {
    let until = Instant::now() + budget;
    let mut course = Course::default();
    let grace = life.drain_timeout.min(budget);
    let deadline = Instant::now() + grace;
    tracing::info!(
        grace_seconds = grace.as_secs_f64(),
        streams = life
            .workers
            .as_ref()
            .map_or(0, super::workers::Workers::live),
        "shutdown announced"
    );
    life.shutdown.announce(Phase::Drain { deadline });
    if let Some(workers) = &life.workers {
        // Listeners close before any instance is told, unless a worker is stuck.
        drop(tokio::time::timeout(FORCE_TIME, workers.listeners_closed()).await);
    }
    let hurry = drain(life, grace, deadline, signals, &mut course).await;
    // Late hooks of instances end the grace too; forced is what was done to streams, or asked for by a signal.
    course.forced = match hurry {
        Some(Hurry::Signal) => true,
        Some(Hurry::Grace { streams }) => streams != 0,
        None => false,
    };
    end_workers(life, &mut course).await;
    let each = match hurry {
        Some(Hurry::Signal) => HURRY.min(life.hook_timeout),
        Some(Hurry::Grace { .. }) | None => life.hook_timeout,
    };
    hooks(
        life,
        &mut Calls {
            each,
            until,
            signals,
        },
        &mut course,
    )
    .await;
    course
}

/// Why a drain did not end by itself.
enum Hurry {
    /// The grace period ran out, with so many streams left.
    Grace { streams: usize },
    /// A further signal.
    Signal,
}

/// Waits until streams and instances are done, the grace ends, or a signal says so. Instances and streams drain side
/// by side: an instance may hold its streams until it is done.
async fn drain(
    life: &Life,
    grace: Duration,
    deadline: Instant,
    signals: &mut mpsc::Receiver<Signal>,
    course: &mut Course,
) -> Option<Hurry> {
    let streams = async {
        life.shutdown.all_gone().await;
        tracing::info!("drain finished");
    };
    let done = async { tokio::join!(drain_instances(&life.instances, grace), streams).0 };
    let live = || {
        life.workers
            .as_ref()
            .map_or(0, super::workers::Workers::live)
    };
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
            signal = signals.recv() => match signal {
                Some(signal @ (Signal::Term | Signal::Int)) => {
                    let name = super::name(signal);
                    tracing::warn!(name, streams = live(), "signal: the grace ends now");
                    life.shutdown.announce(Phase::Force);
                    return Some(Hurry::Signal);
                }
                Some(Signal::Hup) => {
                    tracing::warn!(name = "HUP", "signal: no reload while the daemon stops");
                }
                Some(other) => tracing::info!(name = super::name(other), "signal"),
                None => {}
            },
            () = &mut end => {
                let streams = live();
                tracing::warn!(streams, "grace ended");
                life.shutdown.announce(Phase::Force);
                return Some(Hurry::Grace { streams });
            }
        }
    }
}

/// Calls `drain` of all instances, begun in reverse order of their start; says whether one failed.
async fn drain_instances(instances: &[Held], grace: Duration) -> bool {
    let mut failed = false;
    let deadline = deadline_in(grace);
    let until = tokio::time::Instant::now() + grace;
    let mut running = Vec::new();
    for held in instances.iter().rev().filter(|held| held.started) {
        tracing::info!(
            instance = held.keeper.instance().name().instance,
            "instance drain"
        );
        // Each begins at once, in order; then they are waited for.
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        running.push((held, held.keeper.call(Hook::Drain(deadline), left)));
    }
    for (held, call) in running {
        failed |= told(held, "drain", call.await).is_none();
    }
    failed
}

/// Waits for the workers; who is stuck in a callback takes the callback's instance along.
async fn end_workers(life: &mut Life, course: &mut Course) {
    let Some(workers) = &mut life.workers else {
        return;
    };
    let gone = tokio::time::timeout(FORCE_TIME, life.shutdown.all_gone()).await;
    if gone.is_ok() {
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
    let inside: HashSet<u32> = workers.inside().into_iter().collect();
    for held in &life.instances {
        let instance = held.keeper.instance();
        if inside.contains(&instance.index()) {
            let name = instance.name();
            tracing::error!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                hook = "callback",
                reason = "a callback has not returned",
                "instance abandoned"
            );
            held.keeper.abandon();
        }
    }
    // Those that are stuck are left behind: the process ends without them.
    let _all = workers.join();
}

/// For each instance in reverse order: save, stop, destroy.
async fn hooks(life: &Life, calls: &mut Calls<'_>, course: &mut Course) {
    for held in life.instances.iter().rev() {
        let name = held.keeper.instance().name();
        if held.started {
            let output = calls.call(held, Hook::Save, course).await;
            if let Some(bytes) = output.and_then(|output| output.saved) {
                course.hook_failed |= !save(life, held, bytes);
            }
            if calls.call(held, Hook::Stop, course).await.is_some() {
                tracing::info!(instance = name.instance, "instance stopped");
            }
        }
        let created = held.keeper.instance().is_created();
        if calls.call(held, Hook::Destroy, course).await.is_some() && created {
            metrics(held);
            tracing::info!(instance = name.instance, "instance destroyed");
        }
        course.abandoned |= held.keeper.is_abandoned();
    }
    if !course.abandoned {
        for generation in &life.generations {
            if let Err(refusal) = generation.retire() {
                tracing::warn!(plugin = generation.name, reason = %refusal, "hook failed");
            }
        }
    }
}

/// How the hooks of a teardown are called: each under its deadline, all under the budget, faster after a signal.
struct Calls<'a> {
    /// Deadline of each.
    each: Duration,
    /// End of the whole stop.
    until: Instant,
    signals: &'a mut mpsc::Receiver<Signal>,
}

impl Calls<'_> {
    /// Calls a hook; `None` when it did not end well, which was told.
    async fn call(&mut self, held: &Held, hook: Hook, course: &mut Course) -> Option<HookOutput> {
        if held.keeper.is_abandoned() {
            return None;
        }
        let name = hook.name();
        let left = self.until.saturating_duration_since(Instant::now());
        let call = held.keeper.call(hook, self.each.min(left).max(LEAST));
        let cut = tokio::time::sleep(Duration::MAX);
        tokio::pin!(call, cut);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut call => break result,
                signal = self.signals.recv() => if let Some(signal @ (Signal::Term | Signal::Int)) = signal {
                    let signal = super::name(signal);
                    tracing::warn!(name = signal, "signal: each hook has a second from now on");
                    course.forced = true;
                    self.each = HURRY.min(self.each);
                    cut.as_mut().reset(tokio::time::Instant::now() + self.each);
                },
                () = &mut cut => {
                    held.keeper.abandon();
                    break Err(HookFault::Stuck);
                }
            }
        };
        let done = told(held, name, result);
        course.hook_failed |= done.is_none();
        done
    }
}

/// Tells what became of a hook; gives what it returned if it ended well.
fn told(held: &Held, hook: &str, result: Result<HookOutput, HookFault>) -> Option<HookOutput> {
    let name = held.keeper.instance().name();
    let (instance, plugin, generation) = (&name.instance, &name.plugin, name.generation);
    match result {
        Ok(output) => Some(output),
        Err(fault @ HookFault::Late) => {
            tracing::error!(instance, plugin, generation, hook, reason = %fault, "hook overran");
            None
        }
        Err(fault @ (HookFault::Stuck | HookFault::Abandoned)) => {
            tracing::error!(instance, plugin, generation, hook, reason = %fault, "instance abandoned");
            None
        }
        Err(fault @ HookFault::Failed { .. }) => {
            tracing::error!(instance, plugin, generation, hook, reason = %fault, "hook failed");
            None
        }
    }
}

/// Puts the state to rest; says whether that worked, or nothing was to be kept.
fn save(life: &Life, held: &Held, bytes: Vec<u8>) -> bool {
    let instance = held.keeper.instance();
    let name = &instance.name().instance;
    let Some(store) = &life.store else {
        return true;
    };
    let size = bytes.len();
    let saved = Saved {
        version: instance.handler().state_version,
        bytes,
    };
    match store.save(name, &instance.handler().id, &saved) {
        Ok(()) => {
            tracing::info!(instance = name, bytes = size, "state saved");
            true
        }
        Err(error) => {
            tracing::error!(
                instance = name,
                path = %store.path(name).display(),
                %error,
                "the state could not be saved; the one before it stays"
            );
            false
        }
    }
}

/// The last values of an instance's metrics: nobody can ask for them any more.
fn metrics(held: &Held) {
    let instance = held.keeper.instance();
    for (series, value) in hub().metrics().of(instance.id()) {
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
