//! What a change has made so far, and how that is undone.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hooks::Hook;

use crate::control::hooks::told;
use crate::control::life::Life;
use crate::control::world::{Held, Open};

/// See the module's text.
#[derive(Debug, Default)]
pub struct Making {
    /// New instances, in the order of their making.
    pub instances: Vec<Arc<Held>>,
    /// New sockets.
    pub opened: Vec<Open>,
    /// Unix sockets of the present world with a new mode or group, each with the address that says the ones before.
    pub readmitted: Vec<Open>,
    /// Instances of the present world whose callbacks are held back.
    pub held: Option<Arc<[u32]>>,
    /// Instances of the present world that were frozen.
    pub frozen: Vec<Arc<Held>>,
    /// Instances of the present world with a new configuration, each with the one before as JSON.
    pub reconfigured: Vec<(Arc<Held>, String)>,
}

/// Undoes what a change has made: the present world goes on as if nothing had been asked for. What is undone leaves
/// the life's [`Making`] step by step, so that a stop which breaks this off finds the rest.
pub async fn undo(life: &Life) {
    // Closed first, so that nobody connects to what ends.
    let opened = std::mem::take(&mut life.making.borrow_mut().opened);
    drop(opened);
    let readmitted = std::mem::take(&mut life.making.borrow_mut().readmitted);
    for open in readmitted.iter().rev() {
        if let Err(reason) = open.opened.set_access(&open.wanted) {
            tracing::warn!(reason, "the change is undone, but for this");
        }
    }
    let limit = life.hook_timeout.get();
    end_instances(life, limit).await;
    loop {
        let last = life.making.borrow_mut().reconfigured.pop();
        let Some((held, json)) = last else { break };
        let back = held.hook_thread.call(Hook::Reconfigure(json), limit).await;
        told(&held, "reconfigure", back);
    }
    loop {
        let last = life.making.borrow_mut().frozen.pop();
        let Some(held) = last else { break };
        told(
            &held,
            "thaw",
            held.hook_thread.call(Hook::Thaw, limit).await,
        );
    }
    let held = life.making.borrow_mut().held.take();
    if let (Some(held), Some(workers)) = (held, life.workers.get()) {
        // What waits behind them is not waited for.
        drop(workers.release(&held));
    }
    life.refresh_dials();
}

/// Ends what was made: first what it may have dialled, then the instances, the youngest first.
async fn end_instances(life: &Life, limit: Duration) {
    let made = life.making.borrow().instances.clone();
    if made.is_empty() {
        return;
    }
    made.iter().for_each(|held| held.end_dials());
    if made.iter().any(|held| !held.users.is_empty()) {
        life.end_streams_of(&made);
    }
    for held in made.iter().rev() {
        let gone = tokio::time::timeout(limit, held.users.wait()).await;
        if gone.is_err() {
            let name = held.hook_thread.instance().name();
            tracing::error!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                hook = "callback",
                reason = "what it has dialled does not end",
                "instance abandoned"
            );
            held.hook_thread.abandon();
        }
        if held.set_started(false) {
            told(held, "stop", held.hook_thread.call(Hook::Stop, limit).await);
        }
        let created = held.hook_thread.instance().is_created();
        let destroyed = held.hook_thread.call(Hook::Destroy, limit).await;
        if told(held, "destroy", destroyed).is_some() && created {
            tracing::info!(
                instance = held.name(),
                "instance destroyed: the change is undone"
            );
        }
        let mut making = life.making.borrow_mut();
        making.instances.retain(|one| !Arc::ptr_eq(one, held));
    }
}
