//! Signals as events: read by one OS thread, so that a stuck runtime still hears them.
//!
//! The process is also ended from here when nobody else can: at the third request to stop, and by a guard of its own
//! when a stop takes longer than its whole budget.

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

/// Requests to stop after which nothing is waited for.
const STOPS_MAX: u32 = 3;
/// What a stop may take beyond its budget before the process is ended from here.
pub const MARGIN: Duration = Duration::from_secs(2);
/// How long the last line may take.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// The budget of the whole stop, known once the configuration is; and since when it runs.
#[derive(Debug, Clone)]
pub struct StopBudget(Arc<Clock>);

#[derive(Debug)]
struct Clock {
    time: Mutex<Time>,
    changed: Condvar,
}

#[derive(Debug)]
struct Time {
    budget: Duration,
    since: Option<Instant>,
}

impl StopBudget {
    /// Until the configuration says otherwise.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        let since = None;
        Self(Arc::new(Clock {
            time: Mutex::new(Time { budget, since }),
            changed: Condvar::new(),
        }))
    }

    /// What the configuration says.
    pub fn set(&self, budget: Duration) {
        self.time().budget = budget;
        self.0.changed.notify_all();
    }

    /// What is left to the stop, from when it was asked for.
    #[must_use]
    pub fn left(&self) -> Duration {
        let time = self.time();
        time.budget
            .saturating_sub(time.since.map_or(Duration::ZERO, |since| since.elapsed()))
    }

    /// The stop has begun: once the budget and a margin are over, the process ends. The first call counts.
    pub fn arm(&self) {
        self.time().since.get_or_insert_with(Instant::now);
        self.0.changed.notify_all();
    }

    /// Waits until a stop has taken its budget and `margin`.
    fn overrun(&self, margin: Duration) {
        let mut time = self.time();
        loop {
            let Some(since) = time.since else {
                time = self
                    .0
                    .changed
                    .wait(time)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = time
                .budget
                .saturating_add(margin)
                .saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            time = self
                .0
                .changed
                .wait_timeout(time, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn time(&self) -> MutexGuard<'_, Time> {
        self.0.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Signals for control, in the order in which they came.
#[derive(Debug)]
pub struct Signals(Arc<SignalQueue>);

#[derive(Debug, Default)]
struct SignalQueue {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    signals: VecDeque<Signal>,
    over: bool,
}

impl Signals {
    /// The next one; requests to stop are all kept, of another kind one waits at most. `None` when no more can be
    /// read.
    pub async fn recv(&mut self) -> Option<Signal> {
        loop {
            {
                let mut waiting = self.0.waiting();
                if let Some(signal) = waiting.signals.pop_front() {
                    return Some(signal);
                }
                if waiting.over {
                    return None;
                }
            }
            self.0.arrived.notified().await;
        }
    }
}

impl SignalQueue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, signal: Signal) {
        let mut waiting = self.waiting();
        // Bounded: the process ends at the third request to stop.
        if is_stop(signal) || !waiting.signals.contains(&signal) {
            waiting.signals.push_back(signal);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    fn end(&self) {
        self.waiting().over = true;
        self.arrived.notify_one();
    }
}

fn is_stop(signal: Signal) -> bool {
    matches!(signal, Signal::Term | Signal::Int)
}

/// Starts the thread that reads, and the guard. They live as long as the process: nobody can wake a thread that waits
/// for a signal.
///
/// # Errors
/// The system has no more threads.
pub fn listen(budget: StopBudget) -> io::Result<Signals> {
    let tray = Arc::new(SignalQueue::default());
    let guarded = budget.clone();
    drop(tasks::thread("stop-guard", move || {
        guarded.overrun(MARGIN);
        leave("stopped at once: the stop took longer than daemon.stop-timeout");
    })?);
    let of_thread = Arc::clone(&tray);
    drop(tasks::thread("signals", move || read(&of_thread, &budget))?);
    Ok(Signals(tray))
}

fn read(tray: &SignalQueue, budget: &StopBudget) {
    let mut stops = 0;
    loop {
        match wait(None) {
            Ok(Some(signal)) => {
                if is_stop(signal) {
                    stops += 1;
                    budget.arm();
                    if stops >= STOPS_MAX {
                        leave("stopped at once: the third request to stop");
                    }
                }
                tray.put(signal);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "signals cannot be read any more: end the daemon by SIGKILL");
                return tray.end();
            }
        }
    }
}

/// Ends the process, with a last line if the log still works.
fn leave(why: &'static str) -> ! {
    let exit = Exit::Forced.number();
    within(LAST_WORDS, move || {
        tracing::error!(exit, "{why}");
        log::finish();
    });
    exit_now(i32::from(exit));
}

/// Does it on a thread of its own, and waits no longer than `limit`.
fn within(limit: Duration, work: impl FnOnce() + Send + 'static) {
    let (sender, done) = sync_channel::<()>(0);
    let begun = tasks::thread("last-words", move || {
        work();
        drop(sender);
    });
    if begun.is_ok() {
        // Its end closes the channel; nothing is ever sent.
        done.recv_timeout(limit).ok();
    }
}

/// The name without SIG.
#[must_use]
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
    fn a_storm_of_one_kind_is_one_and_hides_no_request_to_stop() {
        let tray = Arc::new(SignalQueue::default());
        let mut signals = Signals(Arc::clone(&tray));
        for _ in 0..1000 {
            tray.put(Signal::Hup);
            tray.put(Signal::Usr1);
        }
        tray.put(Signal::Term);
        tray.put(Signal::Hup);
        tray.put(Signal::Term);
        let wanted = [Signal::Hup, Signal::Usr1, Signal::Term, Signal::Term];
        assert_eq!(
            wanted.map(|_| now(&mut signals)),
            wanted.map(|signal| Poll::Ready(Some(signal)))
        );
        assert!(now(&mut signals).is_pending());
        tray.put(Signal::Hup);
        assert_eq!(now(&mut signals), Poll::Ready(Some(Signal::Hup)));
        tray.end();
        assert_eq!(now(&mut signals), Poll::Ready(None));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let tray = Arc::new(SignalQueue::default());
        let mut signals = Signals(Arc::clone(&tray));
        let sender = tasks::thread("sender", move || tray.put(Signal::Term)).unwrap();
        assert_eq!(signals.recv().await, Some(Signal::Term));
        sender.join().unwrap();
    }

    #[test]
    fn a_stop_is_guarded_from_its_beginning_without_any_signal() {
        let budget = StopBudget::new(Duration::from_secs(3600));
        let guarded = budget.clone();
        let (sender, over) = sync_channel(1);
        let guard = tasks::thread("guard", move || {
            guarded.overrun(Duration::from_millis(50));
            sender.send(()).unwrap();
        });
        budget.set(Duration::from_millis(50));
        let quiet = over.recv_timeout(Duration::from_millis(200));
        assert!(quiet.is_err(), "nothing stops yet");
        let begin = Instant::now();
        budget.arm();
        over.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100));
        guard.unwrap().join().unwrap();
    }

    #[test]
    fn the_last_words_are_waited_for_and_not_for_ever() {
        let (sender, said) = sync_channel(1);
        within(Duration::from_secs(10), move || sender.send(()).unwrap());
        said.try_recv().unwrap();
        let (_keep, never) = sync_channel::<()>(0);
        let begin = Instant::now();
        within(Duration::from_millis(50), move || {
            never.recv().ok();
        });
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
