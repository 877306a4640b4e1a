//! Taking leave of instances that serve no new streams: each drains beside its streams, and is torn down when the last
//! of them is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_host::generation::Generation;
use polyport_host::hooks::Hook;
use polyport_host::stream::deadline_in;
use tokio::sync::mpsc;

use super::hooks::told;
use super::state::{Saved, Store};
use super::world::{Held, Leaver};
use polyport_common::tasks;

/// Instances whose end waits to be told.
const GONE_MAX: usize = 1024;

/// See the module's text. Dropping it cancels what still waits; the instances are then the stop's affair.
#[derive(Debug)]
pub struct Leavers {
    tasks: tasks::Group,
    gone: mpsc::Receiver<Arc<Held>>,
    tell: mpsc::Sender<Arc<Held>>,
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

impl Leavers {
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
    pub fn see_off(&mut self, leaver: Leaver, terms: Terms) {
        let tell = self.tell.clone();
        self.tasks.start(async move {
            let held = Arc::clone(&leaver.held);
            leave(&leaver, &terms).await;
            drop(tell.send(held).await);
        });
    }

    /// Has some bounded work done beside the desk.
    pub fn beside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.start(work);
    }

    /// The next one that is gone.
    pub async fn gone(&mut self) -> Arc<Held> {
        loop {
            tokio::select! {
                gone = self.gone.recv() => match gone {
                    Some(held) => return held,
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

impl Default for Leavers {
    fn default() -> Self {
        Self::new()
    }
}

/// One instance, to its end.
async fn leave(leaver: &Leaver, terms: &Terms) {
    let held = &leaver.held;
    let name = held.hook_thread.instance().name();
    tracing::info!(
        instance = name.instance,
        plugin = name.plugin,
        generation = name.generation,
        why = leaver.why,
        "instance leaves"
    );
    let left = leaver.until.map_or(terms.drain_timeout, |until| {
        until.saturating_duration_since(Instant::now())
    });
    let drain = async {
        if held.is_started() {
            let hook = Hook::Drain(deadline_in(left));
            told(held, "drain", held.hook_thread.call(hook, left).await);
        }
    };
    // An instance may hold its streams until it is done.
    tokio::join!(drain, held.users.wait());
    // What it dialled at the last moment ends before it does.
    held.end_dials();
    held.users.wait().await;
    if held.is_started() {
        if held.owns_state() {
            save(held, terms).await;
        }
        held.set_started(false);
        let stopped = held.hook_thread.call(Hook::Stop, terms.hook_timeout).await;
        if told(held, "stop", stopped).is_some() {
            tracing::info!(instance = name.instance, "instance stopped");
        }
    }
    let destroyed = held
        .hook_thread
        .call(Hook::Destroy, terms.hook_timeout)
        .await;
    if told(held, "destroy", destroyed).is_some() {
        tracing::info!(
            instance = name.instance,
            plugin = name.plugin,
            generation = name.generation,
            "instance destroyed"
        );
    }
}

/// Puts the state of a removed instance to rest: it gets it back when it is added again.
async fn save(held: &Held, terms: &Terms) {
    let Some(store) = terms.store.clone() else {
        return;
    };
    let saved = held.hook_thread.call(Hook::Save, terms.hook_timeout).await;
    let Some(bytes) = told(held, "save_state", saved).and_then(|output| output.saved) else {
        return;
    };
    let handler = held.hook_thread.instance().handler();
    let (name, id) = (held.name().to_owned(), handler.id.clone());
    let saved = Saved {
        version: handler.state_version,
        bytes,
    };
    let path = store.path(&name);
    let saving = tasks::blocking(move || store.save(&name, &id, &saved)).await;
    let error = match saving {
        Ok(Ok(())) => {
            tracing::info!(instance = held.name(), "state saved");
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let path = path.display();
    tracing::error!(instance = held.name(), %path, error, "the state could not be saved; the one before it stays");
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
