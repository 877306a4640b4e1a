//! Taking leave of instances that serve no new streams: each drains beside its streams, and is torn down when the last
//! of them is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;
use polyport_host::hooks::Hook;
use polyport_host::stream::deadline_in;
use tokio::sync::mpsc;

use crate::control::running::hooks::log_hook_result;
use crate::control::running::state::{InstanceHandle, Retiring};
use crate::control::running::store::{Saved, Store};
use polyport_common::tasks;

/// Instances whose end waits to be told.
const GONE_MAX: usize = 1024;

/// See the module's text. Dropping it cancels what still waits; the instances are then the stop's affair.
#[derive(Debug)]
pub struct Retirements {
    tasks: tasks::Group,
    gone: mpsc::Receiver<Arc<InstanceHandle>>,
    tell: mpsc::Sender<Arc<InstanceHandle>>,
}

/// What an instance is torn down with.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Deadline of each hook.
    pub hook_timeout: Duration,
    /// Deadline of `drain`, when its streams have none.
    pub drain_timeout: Duration,
    /// Where state rests.
    pub store: Option<Store>,
}

impl Retirements {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let (tell, gone) = mpsc::channel(GONE_MAX);
        Self {
            tasks: tasks::Group::new(),
            gone,
            tell,
        }
    }

    /// Sees one off.
    pub fn retire(&mut self, retiring: Retiring, terms: Terms) {
        let tell = self.tell.clone();
        self.tasks.start(async move {
            let handle = Arc::clone(&retiring.handle);
            leave(&retiring, &terms).await;
            drop(tell.send(handle).await);
        });
    }

    /// Has some bounded work done beside the desk.
    pub fn beside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.start(work);
    }

    /// The next one that is gone.
    pub async fn gone(&mut self) -> Arc<InstanceHandle> {
        loop {
            tokio::select! {
                gone = self.gone.recv() => match gone {
                    Some(handle) => return handle,
                    // This one holds a sender, so it does not end.
                    None => std::future::pending().await,
                },
                () = self.tasks.one_ended() => {}
            }
        }
    }

    /// Stops waiting for all of them.
    pub async fn end(self) {
        self.tasks.end().await;
    }
}

impl Default for Retirements {
    fn default() -> Self {
        Self::new()
    }
}

/// One instance, to its end.
async fn leave(retiring: &Retiring, terms: &Terms) {
    let handle = &retiring.handle;
    let name = handle.hook_thread.instance().name();
    tracing::info!(
        instance = name.instance,
        plugin = name.plugin,
        generation = name.generation,
        why = retiring.why,
        "instance leaves"
    );
    let left = retiring.until.map_or(terms.drain_timeout, |until| {
        until.saturating_duration_since(Instant::now())
    });
    let drain = async {
        if handle.is_started() {
            let hook = Hook::Drain(deadline_in(left));
            log_hook_result(handle, "drain", handle.hook_thread.call(hook, left).await);
        }
    };
    // An instance may hold its streams until it is done.
    tokio::join!(drain, handle.users.wait());
    // What it dialled at the last moment ends before it does.
    handle.end_dials();
    handle.users.wait().await;
    if handle.is_started() {
        if handle.owns_state() {
            save(handle, terms).await;
        }
        handle.set_started(false);
        let stopped = handle
            .hook_thread
            .call(Hook::Stop, terms.hook_timeout)
            .await;
        if log_hook_result(handle, "stop", stopped).is_some() {
            tracing::info!(instance = name.instance, "instance stopped");
        }
    }
    let destroyed = handle
        .hook_thread
        .call(Hook::Destroy, terms.hook_timeout)
        .await;
    if log_hook_result(handle, "destroy", destroyed).is_some() {
        tracing::info!(
            instance = name.instance,
            plugin = name.plugin,
            generation = name.generation,
            "instance destroyed"
        );
    }
}

/// Puts the state of a removed instance to rest: it gets it back when it is added again.
async fn save(handle: &InstanceHandle, terms: &Terms) {
    let Some(store) = terms.store.clone() else {
        return;
    };
    let saved = handle
        .hook_thread
        .call(Hook::Save, terms.hook_timeout)
        .await;
    let Some(bytes) = log_hook_result(handle, "save_state", saved).and_then(|output| output.saved)
    else {
        return;
    };
    let handler = handle.hook_thread.instance().handler();
    let (name, id) = (handle.name().to_owned(), handler.id.clone());
    let saved = Saved {
        version: handler.state_version,
        bytes,
    };
    let path = store.path(&name);
    let saving = tasks::blocking(move || store.save(&name, &id, &saved)).await;
    let error = match saving {
        Ok(Ok(())) => {
            tracing::info!(instance = handle.name(), "state saved");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let path = path.display();
    tracing::error!(instance = handle.name(), %path, error, "the state could not be saved; the one before it stays");
}

/// Retires generations: `fini` is called, the code stays mapped.
pub async fn retire(generations: Vec<Arc<Generation>>) {
    for generation in generations {
        let retiring = Arc::clone(&generation);
        let retired = tasks::blocking(move || retiring.retire()).await;
        let (plugin, number) = (&generation.name, generation.number);
        let reason = match retired {
            Ok(Ok(())) => {
                tracing::info!(
                    plugin,
                    generation = number,
                    "generation retired: its code stays mapped"
                );
                continue;
            }
            Ok(Err(refusal)) => refusal.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(
            plugin,
            generation = number,
            hook = "fini",
            reason,
            "hook failed"
        );
    }
}
