//! Calls of hooks, each under its deadline. In a shutdown all calls share one budget, and a further signal to stop
//! leaves each a second.

use std::time::{Duration, Instant};

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::{Hook, HookOutput};
use polyport_sys::signals::Signal;

use super::instance::{InstanceHandle, log_instance};
use crate::control::signals::{Signals, name_of};

/// Deadline of each hook after a second signal to stop.
pub const FORCED_HOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The least time for a hook, however little of the budget is left.
const HOOK_TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Added to the deadline before a wait is cut off: the hook thread notices its deadline itself, and knows more.
const CUT_MARGIN: Duration = Duration::from_millis(20);

/// A series of hook calls.
#[derive(Debug)]
pub struct HookCalls<'a> {
    /// Deadline of each.
    timeout: Duration,
    budget: Option<Budget<'a>>,
    /// A signal asked for haste.
    pub forced: bool,
    /// A hook failed or was late.
    pub failed: bool,
}

/// Bounds of a shutdown.
#[derive(Debug)]
struct Budget<'a> {
    until: Instant,
    signals: &'a mut Signals,
}

impl<'a> HookCalls<'a> {
    /// Calls outside of a shutdown.
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            budget: None,
            forced: false,
            failed: false,
        }
    }

    /// Calls of a shutdown that ends at `until`. Instances that are abandoned already are passed over in silence.
    pub fn in_shutdown(timeout: Duration, until: Instant, signals: &'a mut Signals) -> Self {
        let budget = Some(Budget { until, signals });
        Self {
            budget,
            ..Self::new(timeout)
        }
    }

    /// Calls a hook. One that has not returned by its deadline makes its instance abandoned.
    ///
    /// # Errors
    /// See [`HookFault`].
    pub async fn call(
        &mut self,
        handle: &InstanceHandle,
        hook: Hook,
    ) -> Result<HookOutput, HookFault> {
        let call = handle.hook_thread.call(hook, self.limit());
        match self.bounded(call).await {
            Some(result) => result,
            None => {
                handle.hook_thread.abandon();
                Err(HookFault::Stuck)
            }
        }
    }

    /// Calls a hook and logs its failure; `None` when it failed or was not called.
    pub async fn call_logged(&mut self, handle: &InstanceHandle, hook: Hook) -> Option<HookOutput> {
        if self.skips(handle) {
            return None;
        }
        let name = hook.name();
        let result = self.call(handle, hook).await;
        let output = log_hook_result(handle, name, result);
        self.failed |= output.is_none();
        output
    }

    /// Returns whether hooks of this instance are not called, and nothing is logged about it.
    pub fn skips(&self, handle: &InstanceHandle) -> bool {
        self.budget.is_some() && handle.hook_thread.is_abandoned()
    }

    /// Does some work within the time of one hook; `None` when it is late.
    pub async fn bounded<R>(&mut self, work: impl Future<Output = R>) -> Option<R> {
        let cut = tokio::time::sleep(self.limit() + CUT_MARGIN);
        tokio::pin!(work, cut);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                signal = next_signal(self.budget.as_mut()) => {
                    if matches!(signal, Signal::Term | Signal::Int) {
                        let name = name_of(signal);
                        tracing::warn!(name, "signal: each hook has a second from now on");
                        self.forced = true;
                        self.timeout = FORCED_HOOK_TIMEOUT.min(self.timeout);
                        cut.as_mut().reset(tokio::time::Instant::now() + self.timeout);
                    }
                }
                () = &mut cut => return None,
            }
        }
    }

    /// Deadline of the next call.
    fn limit(&self) -> Duration {
        let Some(budget) = &self.budget else {
            return self.timeout;
        };
        let left = budget.until.saturating_duration_since(Instant::now());
        self.timeout.min(left).max(HOOK_TIMEOUT_MIN)
    }
}

async fn next_signal(budget: Option<&mut Budget<'_>>) -> Signal {
    match budget {
        Some(budget) => budget.signals.next().await,
        None => std::future::pending().await,
    }
}

/// Logs why a hook did not end well; returns its output otherwise.
pub fn log_hook_result(
    handle: &InstanceHandle,
    hook: &str,
    result: Result<HookOutput, HookFault>,
) -> Option<HookOutput> {
    match result {
        Ok(output) => return Some(output),
        Err(fault @ HookFault::Late) => {
            log_instance!(error, handle, hook, reason = %fault, "hook overran");
        }
        Err(fault @ (HookFault::Stuck | HookFault::Abandoned)) => {
            log_instance!(error, handle, hook, reason = %fault, "instance abandoned");
        }
        Err(fault @ (HookFault::Failed { .. } | HookFault::Unsupported)) => {
            log_instance!(error, handle, hook, reason = %fault, "hook failed");
        }
    }
    None
}

/// Gives an instance up because a worker is inside of one of its callbacks, or its dials do not end.
pub fn abandon(handle: &InstanceHandle, reason: &str) {
    log_instance!(
        error,
        handle,
        hook = "callback",
        reason,
        "instance abandoned"
    );
    handle.hook_thread.abandon();
}

/// A hook of an instance did not end well.
#[derive(Debug, thiserror::Error)]
#[error("instance `{instance}`: {hook} {reason}")]
pub struct HookError {
    /// Name of the instance.
    pub instance: String,
    /// Name of the hook.
    pub hook: &'static str,
    /// Why, in words.
    pub reason: String,
}

impl HookError {
    /// Names the instance and its plugin.
    pub fn new(handle: &InstanceHandle, hook: &'static str, fault: &HookFault) -> Self {
        let name = handle.hook_thread.instance().name();
        Self {
            instance: format!("{}` of plugin `{}", name.instance, name.plugin),
            hook,
            reason: fault.to_string(),
        }
    }
}
