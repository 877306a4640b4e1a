//! Calls into a plugin that may never return: each on a thread of its own, with a deadline. One that
//! is late is left behind with its thread, which nobody can end, and is counted here: a process
//! bears a few of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::load_error::{LoadError, LoadErrorCode};
use crate::probe_protocol::Step;
use crate::services::loading;

/// How far an errand has come, seen from both threads.
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

/// Why an errand has no result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// It still runs; its thread is left behind.
    Overran,
    /// Its thread ended in the middle of it.
    Vanished,
    /// It never ran.
    NoThread(String),
}

/// Runs `call`, which calls into `plugin`, on a thread of its own for up to `deadline`; lines that
/// the plugin logs meanwhile carry its name. A result that comes later is dropped.
pub(crate) fn timed<T: Send + 'static>(
    plugin: &str,
    progress: &Progress,
    deadline: Duration,
    call: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Late> {
    let outcome = Arc::new(Outcome::default());
    let teller = Teller(Arc::clone(&outcome));
    let errand = Errand {
        number: COUNT.fetch_add(1, Ordering::Relaxed),
        plugin: plugin.to_owned(),
        progress: progress.clone(),
    };
    let (number, name) = (errand.number, plugin.to_owned());
    let run = move || {
        let _back = Back(number);
        // Dropped before it, also on unwinding.
        let teller = teller;
        let result = loading(&name, call);
        // Nobody waits any more when it was late.
        teller.0.tell(Ok(result));
    };
    // The kernel cuts names at 15 bytes; std refuses only zero bytes, which no file name has.
    let thread = std::thread::Builder::new().name(format!("load {plugin}"));
    // Never joined: past the plugin's code there are destructors of its thread-local data.
    let thread = thread.spawn(run);
    let _thread = thread.map_err(|error| Late::NoThread(format!("no thread for it: {error}")))?;
    match outcome.wait(deadline) {
        Some(result) => result,
        None => leave(errand, &outcome),
    }
}

/// Counts an errand, unless it ended just now.
fn leave<T>(errand: Errand, outcome: &Outcome<T>) -> Result<T, Late> {
    let number = errand.number;
    locked(&LEFT).push(errand);
    // The thread tells first and takes itself off the list then: one of the two sees the other.
    let Some(result) = locked(&outcome.told).take() else {
        return Err(Late::Overran);
    };
    back(number);
    result
}

/// Where the thread of an errand tells how it ended. No channel: who waits on one for the first time has thread-local
/// data made, whose destructor the C library notes under the lock that a constructor that hangs never gives back.
struct Outcome<T> {
    told: Mutex<Option<Result<T, Late>>>,
    arrived: Condvar,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            told: Mutex::new(None),
            arrived: Condvar::new(),
        }
    }
}

impl<T> Outcome<T> {
    fn tell(&self, result: Result<T, Late>) {
        locked(&self.told).get_or_insert(result);
        self.arrived.notify_one();
    }

    fn wait(&self, deadline: Duration) -> Option<Result<T, Late>> {
        let told = locked(&self.told);
        let waited = self
            .arrived
            .wait_timeout_while(told, deadline, |told| told.is_none());
        let (mut told, _) = waited.unwrap_or_else(PoisonError::into_inner);
        told.take()
    }
}

/// The thread's end of it: what was not told by its own end has vanished.
struct Teller<T>(Arc<Outcome<T>>);

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        self.0.tell(Err(Late::Vanished));
    }
}

/// How many threads are inside plugins that did not return in time.
///
/// While there is one, the process must end by `_exit`: at the end of `main` the dynamic linker would
/// wait for a constructor for ever. While one is in a constructor, new threads wait as well, where
/// the C library notes their first destructor of thread-local data under the same lock.
#[must_use]
pub fn left_behind() -> usize {
    locked(&LEFT).len()
}

/// May another plugin be loaded beside what was left behind?
///
/// # Errors
/// `left-behind`, naming who did not return.
pub(crate) fn may_load() -> Result<(), LoadError> {
    let left = locked(&LEFT);
    let in_linker = |errand: &&Errand| errand.progress.step() == Step::Opening;
    let what = if let Some(errand) = left.iter().find(in_linker) {
        let plugin = &errand.plugin;
        format!(
            "a constructor of plugin {plugin} has not returned, and the dynamic linker loads nothing before that"
        )
    } else if left.len() >= LEFT_MAX {
        let names: Vec<_> = left.iter().map(|errand| errand.plugin.as_str()).collect();
        let (count, names) = (left.len(), names.join(", "));
        format!("{count} threads are left behind in plugins that did not return: {names}")
    } else {
        return Ok(());
    };
    Err(LoadError::new(LoadErrorCode::LeftBehind, what))
}

/// A thread that was left behind.
#[derive(Debug)]
struct Errand {
    number: u64,
    plugin: String,
    progress: Progress,
}

/// Takes the errand off the list, however its thread ends.
struct Back(u64);

impl Drop for Back {
    fn drop(&mut self) {
        back(self.0);
    }
}

fn back(number: u64) {
    locked(&LEFT).retain(|errand| errand.number != number);
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

static LEFT: Mutex<Vec<Errand>> = Mutex::new(Vec::new());
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Threads that may be left behind; each holds its stack, and whatever its plugin took.
const LEFT_MAX: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;
    use std::time::Instant;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_late_errand_is_counted_until_it_ends() {
        let (go, gate) = sync_channel::<()>(0);
        let progress = Progress::at(Step::Init);
        let late = timed("slow", &progress, SHORT, move || gate.recv().is_ok());
        assert_eq!(late, Err(Late::Overran));
        let slow = || locked(&LEFT).iter().any(|errand| errand.plugin == "slow");
        assert!(slow() && left_behind() >= 1);
        go.send(()).unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while slow() && Instant::now() < end {
            std::thread::yield_now();
        }
        assert!(!slow());
    }

    #[test]
    fn a_thread_that_ends_in_the_middle_is_not_waited_for() {
        let progress = Progress::at(Step::Init);
        let call = || -> i32 { panic!("a panic that the test wants") };
        let vanished = timed("panics", &progress, Duration::from_secs(60), call);
        assert_eq!(vanished, Err(Late::Vanished));
        assert_eq!(
            timed("good", &progress, Duration::from_secs(60), || 7),
            Ok(7)
        );
    }
}
