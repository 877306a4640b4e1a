//! The only place that starts tasks and threads. Each has an owner that awaits it.

use std::future::Future;
use std::io;
use std::thread;

use tokio::task::{JoinError, JoinSet};

/// Tasks of one runtime with one owner. Dropping the group cancels what still runs.
#[derive(Debug, Default)]
pub struct Group {
    tasks: JoinSet<()>,
}

impl Group {
    /// No task yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current runtime.
    pub fn start(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(work);
    }

    /// How many there are that [`Self::one_ended`] has not told of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Waits until one of them has ended; for ever when there is none.
    pub async fn one_ended(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(error)) if error.is_panic() => {
                tracing::error!(%error, "a task of the daemon has panicked");
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }

    /// Waits until all have ended by themselves.
    pub async fn all_ended(&mut self) {
        while !self.is_empty() {
            self.one_ended().await;
        }
    }

    /// Cancels all and waits until they are gone.
    pub async fn end(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Runs blocking work beside the runtime; the caller awaits it.
///
/// # Errors
/// The work panicked, or the runtime ends.
pub async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, JoinError> {
    tokio::task::spawn_blocking(work).await
}

/// Starts a named OS thread; whoever gets the handle joins it.
///
/// # Errors
/// The system has no more threads.
pub fn thread<R: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> R + Send + 'static,
) -> io::Result<thread::JoinHandle<R>> {
    thread::Builder::new().name(name.to_owned()).spawn(work)
}
