//! Signals as events: read by one OS thread, so that a stuck runtime still hears them.
//!
//! The thread also ends the process by itself when nobody else can: at the third request to stop, and when a stop
//! takes longer than its whole budget.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use polyport_sys::process::exit_now;
use polyport_sys::signals::{Signal, wait};
use tokio::sync::mpsc;

use super::Exit;
use crate::common::{log, tasks};

/// Requests to stop after which nothing is waited for.
const STOPS_MAX: u32 = 3;
/// What a stop may take beyond its budget before the process is ended from here.
const MARGIN: Duration = Duration::from_secs(2);

/// The budget of the whole stop, known once the configuration is.
#[derive(Debug, Clone)]
pub struct StopBudget(Arc<AtomicU64>);

impl StopBudget {
    /// Until the configuration says otherwise.
    #[must_use]
    pub fn new(budget: Duration) -> Self {
        let this = Self(Arc::default());
        this.set(budget);
        this
    }

    /// What the configuration says.
    pub fn set(&self, budget: Duration) {
        self.0.store(
            u64::try_from(budget.as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// How long a stop may take.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// Starts the thread. It lives as long as the process: nobody can wake a thread that waits for a signal.
///
/// # Errors
/// The system has no more threads.
pub fn listen(budget: StopBudget) -> io::Result<mpsc::Receiver<Signal>> {
    let (sender, receiver) = mpsc::channel(16);
    drop(tasks::thread("signals", move || read(&sender, &budget))?);
    Ok(receiver)
}

fn read(sender: &mpsc::Sender<Signal>, budget: &StopBudget) {
    let mut stops = 0;
    let mut first_stop: Option<Instant> = None;
    loop {
        let left =
            first_stop.map(|since| (budget.duration() + MARGIN).saturating_sub(since.elapsed()));
        match wait(left) {
            Ok(Some(signal)) => {
                if matches!(signal, Signal::Term | Signal::Int) {
                    stops += 1;
                    first_stop.get_or_insert_with(Instant::now);
                    if stops >= STOPS_MAX {
                        leave("stopped at once: the third request to stop");
                    }
                }
                // A full channel means that control is far behind: signals of one kind are one to it.
                sender.try_send(signal).ok();
            }
            Ok(None) => leave("stopped at once: the stop took longer than daemon.stop-timeout"),
            Err(error) => {
                tracing::error!(%error, "signals cannot be read any more: end the daemon by SIGKILL");
                return;
            }
        }
    }
}

fn leave(why: &str) {
    tracing::error!(exit = Exit::Forced.number(), "{why}");
    log::finish();
    exit_now(i32::from(Exit::Forced.number()));
}
