//! Signals as events. One OS thread reads them, so that they arrive even while the runtime is stuck.
//!
//! Two threads end the process when nothing else can: this one at the third signal to stop, and the stop guard when a
//! stop takes longer than its whole budget.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polyport_sys::process::exit_now;
use polyport_sys::signals::{Signal, wait};
use tokio::sync::Notify;

use crate::control::Exit;
use crate::log;
use polyport_common::tasks;

/// The signal to stop that ends the process at once.
const STOPS_MAX: u32 = 3;
/// How much longer than its budget a stop may take before the guard ends the process.
pub const MARGIN: Duration = Duration::from_secs(2);
/// How long the stop guard waits at a time while there is no stop.
const IDLE_WAIT: Duration = Duration::from_secs(60 * 60);
/// How long the last line of the log may take.
const LAST_LINE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The time for the whole stop, and when it began.
#[derive(Debug, Clone)]
pub struct StopBudget(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<BudgetState>,
    changed: Condvar,
}

#[derive(Debug)]
struct BudgetState {
    budget: Duration,
    since: Option<Instant>,
}

impl StopBudget {
    /// Not running yet.
    pub fn new(budget: Duration) -> Self {
        let since = None;
        Self(Arc::new(Shared {
            state: Mutex::new(BudgetState { budget, since }),
            changed: Condvar::new(),
        }))
    }

    /// Sets the configured budget.
    pub fn set(&self, budget: Duration) {
        self.state().budget = budget;
        self.0.changed.notify_all();
    }

    /// What is left of the budget.
    pub fn left(&self) -> Duration {
        let state = self.state();
        state
            .budget
            .saturating_sub(state.since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// The stop begins: the process ends when the budget and a margin are over. Only the first call counts.
    pub fn arm(&self) {
        self.state().since.get_or_insert_with(Instant::now);
        self.0.changed.notify_all();
    }

    /// Waits until a stop has taken its budget and `margin`.
    fn overrun(&self, margin: Duration) {
        let mut state = self.state();
        loop {
            let limit = state.budget.saturating_add(margin);
            let left = state
                .since
                .map(|since| limit.saturating_sub(since.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let changed = &self.0.changed;
            let waited = changed.wait_timeout(state, left.unwrap_or(IDLE_WAIT));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, BudgetState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The receiving end of the signals.
#[derive(Debug)]
pub struct Signals(Arc<SignalQueue>);

#[derive(Debug, Default)]
struct SignalQueue {
    pending: Mutex<Pending>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    signals: VecDeque<Signal>,
    closed: bool,
}

impl Signals {
    /// The next signal, in order. Every signal to stop is kept, of each other kind at most one. `None` when signals
    /// cannot be read any more.
    pub async fn recv(&mut self) -> Option<Signal> {
        loop {
            {
                let mut pending = self.0.pending();
                if let Some(signal) = pending.signals.pop_front() {
                    return Some(signal);
                }
                if pending.closed {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }

    /// The next signal; never returns when signals cannot be read any more.
    pub async fn next(&mut self) -> Signal {
        match self.recv().await {
            Some(signal) => signal,
            None => std::future::pending().await,
        }
    }
}

impl SignalQueue {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, signal: Signal) {
        let mut pending = self.pending();
        // Bounded, because the process ends at the third signal to stop.
        if is_stop(signal) || !pending.signals.contains(&signal) {
            pending.signals.push_back(signal);
        }
        drop(pending);
        self.arrived.notify_one();
    }

    fn close(&self) {
        self.pending().closed = true;
        self.arrived.notify_one();
    }
}

fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::Term | Signal::Int)
}

/// Starts the thread that reads signals, and the stop guard. Both live as long as the process, because a thread that
/// waits for a signal cannot be woken.
///
/// # Errors
/// The system has no more threads.
pub fn listen(budget: StopBudget) -> io::Result<Signals> {
    let queue = Arc::new(SignalQueue::default());
    let guarded = budget.clone();
    drop(tasks::thread("stop-guard", move || {
        guarded.overrun(MARGIN);
        exit_forced("stopped at once: the stop took longer than daemon.stop-timeout");
    })?);
    let of_thread = Arc::clone(&queue);
    drop(tasks::thread("signals", move || read(&of_thread, &budget))?);
    Ok(Signals(queue))
}

fn read(queue: &SignalQueue, budget: &StopBudget) {
    let mut stops = 0;
    loop {
        match wait(None) {
            Ok(Some(signal)) => {
                if is_stop(signal) {
                    stops += 1;
                    budget.arm();
                    if stops >= STOPS_MAX {
                        exit_forced("stopped at once: the third request to stop");
                    }
                }
                queue.push(signal);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "signals cannot be read any more: end the daemon by SIGKILL");
                return queue.close();
            }
        }
    }
}

/// Ends the process, after a last line if the log still works.
fn exit_forced(why: &'static str) -> ! {
    let exit = Exit::Forced.number();
    run_within(LAST_LINE_TIMEOUT, move || {
        tracing::error!(exit, "{why}");
        log::finish();
    });
    exit_now(i32::from(exit));
}

/// Does some work on a thread of its own, and waits at most `limit` for it.
fn run_within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (sender, done) = sync_channel::<()>(0);
    let begun = tasks::thread("last-words", move || {
        work();
        drop(sender);
    });
    if begun.is_ok() {
        // The end of the thread closes the channel; nothing is ever sent.
        done.recv_timeout(limit).ok();
    }
}

/// The name of a signal without SIG.
pub fn name_of(signal: Signal) -> &'static str {
    match signal {
        Signal::Hup => "HUP",
        Signal::Term => "TERM",
        Signal::Int => "INT",
        Signal::Usr1 => "USR1",
        Signal::Usr2 => "USR2",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now(signals: &mut Signals) -> Poll<Option<Signal>> {
        pin!(signals.recv()).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn signals_of_one_kind_are_merged_and_every_stop_is_kept() {
        let queue = Arc::new(SignalQueue::default());
        let mut signals = Signals(Arc::clone(&queue));
        for _ in 0..1000 {
            queue.push(Signal::Hup);
            queue.push(Signal::Usr1);
        }
        queue.push(Signal::Term);
        queue.push(Signal::Hup);
        queue.push(Signal::Term);
        let wanted = [Signal::Hup, Signal::Usr1, Signal::Term, Signal::Term];
        assert_eq!(
            wanted.map(|_| now(&mut signals)),
            wanted.map(|signal| Poll::Ready(Some(signal)))
        );
        assert!(now(&mut signals).is_pending());
        queue.push(Signal::Hup);
        assert_eq!(now(&mut signals), Poll::Ready(Some(Signal::Hup)));
        queue.close();
        assert_eq!(now(&mut signals), Poll::Ready(None));
    }

    #[tokio::test]
    async fn signals_wake_the_receiver() {
        let queue = Arc::new(SignalQueue::default());
        let mut signals = Signals(Arc::clone(&queue));
        let sender = tasks::thread("sender", move || queue.push(Signal::Term)).unwrap();
        assert_eq!(signals.recv().await, Some(Signal::Term));
        sender.join().unwrap();
    }

    #[test]
    fn signals_stop_budget_runs_from_the_beginning_of_the_stop() {
        let budget = StopBudget::new(Duration::from_secs(3600));
        let guarded = budget.clone();
        let (sender, over) = sync_channel(1);
        let guard = tasks::thread("guard", move || {
            guarded.overrun(Duration::from_millis(50));
            sender.send(()).unwrap();
        });
        budget.set(Duration::from_millis(50));
        let quiet = over.recv_timeout(Duration::from_millis(200));
        assert!(quiet.is_err(), "the stop has not begun");
        let begin = Instant::now();
        budget.arm();
        over.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100));
        guard.unwrap().join().unwrap();
    }

    #[test]
    fn signals_last_line_is_waited_for_within_a_limit() {
        let (sender, said) = sync_channel(1);
        run_within(Duration::from_secs(10), move || sender.send(()).unwrap());
        said.try_recv().unwrap();
        let (_keep, never) = sync_channel::<()>(0);
        let begin = Instant::now();
        run_within(Duration::from_millis(50), move || {
            never.recv().ok();
        });
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
