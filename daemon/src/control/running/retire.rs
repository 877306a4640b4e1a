//! Retiring instances and code beside the supervisor: an instance is torn down when its last stream has ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;
use tokio::sync::mpsc;

use super::hooks::HookCalls;
use super::instance::{InstanceHandle, Retiring, log_instance};
use super::state_store::StateStore;
use super::teardown::{self, Cause, State, log_fini_failed, retire_generation, teardown};
use polyport_common::tasks;

/// Bound of the channel of destroyed instances.
const DESTROYED_MAX: usize = 1024;

/// Tasks of retiring instances. Dropping it cancels them; their instances are then torn down by the stop.
#[derive(Debug)]
pub struct Retirements {
    tasks: tasks::Group,
    destroyed: mpsc::Receiver<Arc<InstanceHandle>>,
    sender: mpsc::Sender<Arc<InstanceHandle>>,
}

/// How a retiring instance is torn down.
#[derive(Debug, Clone)]
pub struct RetireTerms {
    /// Deadline of each hook.
    pub hook_timeout: Duration,
    /// Deadline of `drain` when the streams have none.
    pub drain_timeout: Duration,
    /// Where state is saved.
    pub store: Option<StateStore>,
}

impl Retirements {
    /// No task yet.
    pub fn new() -> Self {
        let (sender, destroyed) = mpsc::channel(DESTROYED_MAX);
        Self {
            tasks: tasks::Group::new(),
            destroyed,
            sender,
        }
    }

    /// Starts the retirement of an instance.
    pub fn start(&mut self, retiring: Retiring, terms: RetireTerms) {
        let sender = self.sender.clone();
        self.tasks.start(async move {
            retire(&retiring, terms).await;
            drop(sender.send(retiring.handle).await);
        });
    }

    /// Starts some other bounded work.
    pub fn start_other(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.start(work);
    }

    /// The next instance that was destroyed.
    pub async fn next_destroyed(&mut self) -> Arc<InstanceHandle> {
        loop {
            tokio::select! {
                destroyed = self.destroyed.recv() => match destroyed {
                    Some(handle) => return handle,
                    // Never: this value holds a sender.
                    None => std::future::pending().await,
                },
                () = self.tasks.one_ended() => {}
            }
        }
    }

    /// Cancels all tasks.
    pub async fn cancel(self) {
        self.tasks.end().await;
    }
}

impl Default for Retirements {
    fn default() -> Self {
        Self::new()
    }
}

async fn retire(retiring: &Retiring, terms: RetireTerms) {
    let handle = &retiring.handle;
    log_instance!(info, handle, why = retiring.why, "instance leaves");
    let deadline = retiring.until;
    let deadline = deadline.unwrap_or_else(|| Instant::now() + terms.drain_timeout);
    let drain = async {
        if handle.is_started() {
            teardown::drain(handle, deadline).await;
        }
    };
    // Side by side: an instance may keep its streams until its drain is done.
    tokio::join!(drain, handle.users.wait());
    // A dial of the last moment ends before its instance does.
    handle.end_dials();
    handle.users.wait().await;
    // An instance that was replaced has handed its state over. Without a store its state is lost, so it is not saved.
    let state = match terms.store {
        Some(store) if handle.owns_state() => State::Save(Some(store)),
        _ => State::Drop,
    };
    let mut calls = HookCalls::new(terms.hook_timeout);
    teardown(handle, state, Cause::Retired, &mut calls).await;
}

/// Calls `fini` of each generation, with no deadline: nothing waits for it.
pub async fn retire_generations(generations: Vec<Arc<Generation>>) {
    for generation in generations {
        match retire_generation(&generation).await {
            Ok(()) => tracing::info!(
                plugin = generation.name,
                generation = generation.number,
                "generation retired: its code stays mapped"
            ),
            Err(reason) => log_fini_failed(&generation, &reason),
        }
    }
}
