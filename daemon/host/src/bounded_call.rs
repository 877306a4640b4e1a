//! Calls into a plugin that may never return: each runs on a thread of its own, with a deadline. Nobody can end a thread
//! that is late: it is left behind and counted, and the process bears a few of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::load_error::{ErrorCode, LoadError};
use crate::probe_protocol::Step;
use crate::services::with_loading;

/// The step that a call has reached, shared by both threads.
#[derive(Debug, Clone)]
pub(crate) struct Progress(Arc<Mutex<Step>>);

impl Progress {
    pub(crate) fn at(step: Step) -> Self {
        Self(Arc::new(Mutex::new(step)))
    }

    pub(crate) fn reach(&self, step: Step) {
        *locked(&self.0) = step;
    }

    pub(crate) fn step(&self) -> Step {
        locked(&self.0).clone()
    }
}

/// Why a call has no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The call still runs; its thread is left behind.
    Overran,
    /// The thread of the call ended inside of it.
    Vanished,
    /// There was no thread for it.
    NoThread(String),
}

/// Runs `call`, which calls into `plugin`, on a thread of its own for up to `deadline`. Log lines of that thread carry the
/// plugin's name. A later result is dropped.
pub(crate) fn run_bounded<T: Send + 'static>(
    plugin: &str,
    progress: &Progress,
    deadline: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unfinished> {
    let outcome = Arc::new(Outcome::default());
    let setter = SetAtEnd(Arc::clone(&outcome));
    let late = LateCall {
        number: COUNT.fetch_add(1, Ordering::Relaxed),
        plugin: plugin.to_owned(),
        progress: progress.clone(),
    };
    let (number, name) = (late.number, plugin.to_owned());
    let run = move || {
        let _uncount = Uncount(number);
        // Dropped before `_uncount`, also on unwinding.
        let setter = setter;
        let result = with_loading(&name, call);
        setter.0.set(Ok(result));
    };
    // The kernel cuts names at 15 bytes; std refuses only zero bytes, which no file name has.
    let thread = std::thread::Builder::new().name(format!("load {plugin}"));
    // Never joined: when the plugin's code has returned, destructors of its thread-local data run.
    let thread = thread.spawn(run);
    let _thread =
        thread.map_err(|error| Unfinished::NoThread(format!("no thread for it: {error}")))?;
    match outcome.wait(deadline) {
        Some(result) => result,
        None => leave_behind(late, &outcome),
    }
}

/// Counts a late call, unless it ended just now.
fn leave_behind<T>(late: LateCall, outcome: &Outcome<T>) -> Result<T, Unfinished> {
    let number = late.number;
    locked(&LATE).push(late);
    // The thread sets the outcome before it uncounts itself: either this finds the outcome, or the thread uncounts.
    let Some(result) = locked(&outcome.result).take() else {
        return Err(Unfinished::Overran);
    };
    uncount(number);
    result
}

/// How a call ended. This is no channel, because the first wait on a channel makes thread-local data with a destructor, and
/// the C library registers destructors under the lock that a hanging constructor holds.
struct Outcome<T> {
    result: Mutex<Option<Result<T, Unfinished>>>,
    is_set: Condvar,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            result: Mutex::new(None),
            is_set: Condvar::new(),
        }
    }
}

impl<T> Outcome<T> {
    fn set(&self, result: Result<T, Unfinished>) {
        locked(&self.result).get_or_insert(result);
        self.is_set.notify_one();
    }

    fn wait(&self, deadline: Duration) -> Option<Result<T, Unfinished>> {
        let result = locked(&self.result);
        let waited = self
            .is_set
            .wait_timeout_while(result, deadline, |result| result.is_none());
        let (mut result, _) = waited.unwrap_or_else(PoisonError::into_inner);
        result.take()
    }
}

/// Sets the outcome of a thread that ends without having set it.
struct SetAtEnd<T>(Arc<Outcome<T>>);

impl<T> Drop for SetAtEnd<T> {
    fn drop(&mut self) {
        self.0.set(Err(Unfinished::Vanished));
    }
}

/// How many threads are inside plugins that did not return in time.
///
/// While there is one, the process must end by `_exit`: at the end of `main` the dynamic linker would wait for a
/// constructor for ever. While one is in a constructor, a new thread waits as soon as the C library registers its first
/// destructor of thread-local data, which takes the same lock.
#[must_use]
pub fn left_behind() -> usize {
    locked(&LATE).len()
}

/// Returns an error while threads that were left behind forbid to load another plugin.
///
/// # Errors
/// `left-behind`, with the names of the plugins that did not return.
pub(crate) fn may_load() -> Result<(), LoadError> {
    let late = locked(&LATE);
    let in_linker = |call: &&LateCall| call.progress.step() == Step::Opening;
    let what = if let Some(call) = late.iter().find(in_linker) {
        let plugin = &call.plugin;
        format!(
            "a constructor of plugin {plugin} has not returned, and the dynamic linker loads nothing before that"
        )
    } else if late.len() >= LATE_MAX {
        let names: Vec<_> = late.iter().map(|call| call.plugin.as_str()).collect();
        let (count, names) = (late.len(), names.join(", "));
        format!("{count} threads are left behind in plugins that did not return: {names}")
    } else {
        return Ok(());
    };
    Err(LoadError::new(ErrorCode::LeftBehind, what))
}

/// A call that did not return in time.
#[derive(Debug)]
struct LateCall {
    number: u64,
    plugin: String,
    progress: Progress,
}

/// Takes a late call off the list, however its thread ends.
struct Uncount(u64);

impl Drop for Uncount {
    fn drop(&mut self) {
        uncount(self.0);
    }
}

fn uncount(number: u64) {
    locked(&LATE).retain(|call| call.number != number);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static LATE: Mutex<Vec<LateCall>> = Mutex::new(Vec::new());
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Threads that may be left behind; each holds its stack, and whatever its plugin took.
const LATE_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn bounded_call_that_is_late_is_counted_until_it_ends() {
        let (go, gate) = sync_channel::<()>(0);
        let progress = Progress::at(Step::Init);
        let late = run_bounded("slow", &progress, SHORT, move || gate.recv().is_ok());
        assert_eq!(late, Err(Unfinished::Overran));
        let slow = || locked(&LATE).iter().any(|call| call.plugin == "slow");
        assert!(slow() && left_behind() >= 1);
        go.send(()).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while slow() && Instant::now() < end {
            std::thread::yield_now();
        }
        assert!(!slow());
    }

    #[test]
    fn bounded_call_whose_thread_ends_is_not_waited_for() {
        let progress = Progress::at(Step::Init);
        let call = || -> i32 { panic!("a panic that the test wants") };
        let vanished = run_bounded("panics", &progress, Duration::from_secs(60), call);
        assert_eq!(vanished, Err(Unfinished::Vanished));
        assert_eq!(
            run_bounded("good", &progress, Duration::from_secs(60), || 7),
            Ok(7)
        );
    }
}
