//! How the hooks of a teardown are called: each under its deadline, all under one budget, and what is told of them.

use std::time::{Duration, Instant};

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::{Hook, HookOutput};
use polyport_sys::signals::Signal;

use crate::control::running::state::InstanceHandle;
use crate::control::shutdown::Course;
use crate::control::signals::{Signals, name_of};

/// Deadline of each hook when the stop is in a hurry.
pub const FORCED_HOOK_TIMEOUT: Duration = Duration::from_secs(1);
/// The least that a hook gets, however little of the budget is left.
const LEAST: Duration = Duration::from_millis(100);

/// How the hooks of a teardown are called: each under its deadline, all under the budget, faster after a signal.
#[derive(Debug)]
pub struct HookCalls<'a> {
    /// Deadline of each.
    pub each: Duration,
    /// End of the whole stop.
    pub until: Instant,
    /// Who may ask for more haste.
    pub signals: &'a mut Signals,
}

impl HookCalls<'_> {
    /// `HookCalls` a hook; `None` when it did not end well, which was told.
    pub async fn call(
        &mut self,
        handle: &InstanceHandle,
        hook: Hook,
        course: &mut Course,
    ) -> Option<HookOutput> {
        if handle.hook_thread.is_abandoned() {
            return None;
        }
        let name = hook.name();
        // OperationResult from outside by `beside`; its own deadline is only a bound.
        let call = handle.hook_thread.call(hook, self.limit());
        let result = match self.beside(call, course).await {
            Some(result) => result,
            None => {
                handle.hook_thread.abandon();
                Err(HookFault::Stuck)
            }
        };
        let done = log_hook_result(handle, name, result);
        course.hook_failed |= done.is_none();
        done
    }

    /// What the next call may take.
    fn limit(&self) -> Duration {
        let left = self.until.saturating_duration_since(Instant::now());
        self.each.min(left).max(LEAST)
    }

    /// Waits for some work for as long as a hook may take, and hears signals meanwhile: one more request to stop
    /// leaves it a second. `None` when it is late.
    pub async fn beside<R>(
        &mut self,
        work: impl Future<Output = R>,
        course: &mut Course,
    ) -> Option<R> {
        // A moment more than a hook's own deadline, which tells more.
        let cut = tokio::time::sleep(self.limit() + Duration::from_millis(20));
        tokio::pin!(work, cut);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return Some(result),
                signal = next(self.signals) => if matches!(signal, Signal::Term | Signal::Int) {
                    let name = name_of(signal);
                    tracing::warn!(name, "signal: each hook has a second from now on");
                    course.forced = true;
                    self.each = FORCED_HOOK_TIMEOUT.min(self.each);
                    cut.as_mut().reset(tokio::time::Instant::now() + self.each);
                },
                () = &mut cut => return None,
            }
        }
    }
}

/// Tells what became of a hook; gives what it returned if it ended well.
pub fn log_hook_result(
    handle: &InstanceHandle,
    hook: &str,
    result: Result<HookOutput, HookFault>,
) -> Option<HookOutput> {
    let name = handle.hook_thread.instance().name();
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
        Err(fault @ (HookFault::Failed { .. } | HookFault::Unsupported)) => {
            tracing::error!(instance, plugin, generation, hook, reason = %fault, "hook failed");
            None
        }
    }
}

/// The next signal; never, when they cannot be read any more.
pub async fn next(signals: &mut Signals) -> Signal {
    match signals.recv().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}
