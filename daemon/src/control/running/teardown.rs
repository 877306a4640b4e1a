//! The end of an instance, the same at a stop, after it was replaced and in a rollback: drain, save, stop, destroy; and
//! the end of the code that no instance runs any more.

use std::sync::Arc;
use std::time::Instant;

use polyport_host::generation::Generation;
use polyport_host::hooks::Hook;
use polyport_host::stream::deadline_in;

use super::hooks::{HookCalls, log_hook_result};
use super::instance::{InstanceHandle, log_instance};
use super::save::{SaveError, save_state};
use super::state_store::StateStore;
use polyport_common::tasks;

/// Why an instance ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The daemon stops.
    Shutdown,
    /// The instance was replaced or removed.
    Retired,
    /// The change that created it failed.
    RolledBack,
}

/// What becomes of the state of an instance that ends.
#[derive(Debug)]
pub enum State {
    /// It is saved, in the store if there is one.
    Save(Option<StateStore>),
    /// Another instance has it, or it was never changed.
    Drop,
}

/// Begins `drain` at once, so that several instances begin in the order of the calls. The future returns whether the
/// hook ended well, and logs if not.
pub fn drain(handle: &InstanceHandle, deadline: Instant) -> impl Future<Output = bool> + Send + '_ {
    let left = deadline.saturating_duration_since(Instant::now());
    let call = handle
        .hook_thread
        .call(Hook::Drain(deadline_in(left)), left);
    async move { log_hook_result(handle, "drain", call.await).is_some() }
}

/// Saves the state of an instance whose streams have ended, and calls `stop` and `destroy`. A hook that fails does not
/// keep the next one from being called.
pub async fn teardown(
    handle: &InstanceHandle,
    state: State,
    cause: Cause,
    calls: &mut HookCalls<'_>,
) {
    if handle.is_started() {
        if let State::Save(store) = state {
            save(handle, store, calls).await;
        }
        handle.set_started(false);
        let stopped = calls.call_logged(handle, Hook::Stop).await;
        if stopped.is_some() && cause != Cause::RolledBack {
            tracing::info!(instance = handle.name(), "instance stopped");
        }
    }
    let created = handle.hook_thread.instance().is_created();
    if calls.call_logged(handle, Hook::Destroy).await.is_some() && created {
        log_destroyed(handle, cause);
    }
}

async fn save(handle: &InstanceHandle, store: Option<StateStore>, calls: &mut HookCalls<'_>) {
    if calls.skips(handle) {
        return;
    }
    let Err(error) = save_state(handle, store, calls).await else {
        return;
    };
    calls.failed = true;
    match error {
        SaveError::Hook(fault) => drop(log_hook_result(handle, Hook::Save.name(), Err(fault))),
        SaveError::Write { path, error } => tracing::error!(
            instance = handle.name(),
            %path,
            error,
            "the state could not be saved; the one before it stays"
        ),
    }
}

fn log_destroyed(handle: &InstanceHandle, cause: Cause) {
    let instance = handle.name();
    match cause {
        Cause::Shutdown => {
            log_metrics(handle);
            tracing::info!(instance, "instance destroyed");
        }
        Cause::Retired => log_instance!(info, handle, "instance destroyed"),
        Cause::RolledBack => tracing::info!(instance, "instance destroyed: the change is undone"),
    }
}

/// Logs the last values of an instance's metrics: they cannot be scraped any more.
fn log_metrics(handle: &InstanceHandle) {
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

/// Calls `fini` of a generation; its code stays mapped.
///
/// # Errors
/// Why it failed, in words.
pub async fn retire_generation(generation: &Arc<Generation>) -> Result<(), String> {
    let retiring = Arc::clone(generation);
    match tasks::blocking(move || retiring.retire()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refusal)) => Err(refusal.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Logs that `fini` failed.
pub fn log_fini_failed(generation: &Generation, reason: &str) {
    let (plugin, number) = (&generation.name, generation.number);
    tracing::error!(
        plugin,
        generation = number,
        hook = "fini",
        reason,
        "hook failed"
    );
}
