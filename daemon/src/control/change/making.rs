//! What a change has made so far, and how that is undone.

use std::sync::Arc;

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

/// Undoes what a change has made: the present world goes on as if nothing had been asked for.
pub async fn undo(life: &Life) {
    let making = life.making.take();
    // Closed first, so that nobody connects to what ends.
    drop(making.opened);
    for open in making.readmitted.iter().rev() {
        if let Err(reason) = open.opened.set_access(&open.wanted) {
            tracing::warn!(reason, "the change is undone, but for this");
        }
    }
    let limit = life.hook_timeout.get();
    for held in making.instances.iter().rev() {
        if held.set_started(false) {
            told(held, "stop", held.keeper.call(Hook::Stop, limit).await);
        }
        let created = held.keeper.instance().is_created();
        let destroyed = held.keeper.call(Hook::Destroy, limit).await;
        if told(held, "destroy", destroyed).is_some() && created {
            tracing::info!(
                instance = held.name(),
                "instance destroyed: the change is undone"
            );
        }
    }
    for (held, json) in making.reconfigured.iter().rev() {
        let back = held
            .keeper
            .call(Hook::Reconfigure(json.clone()), limit)
            .await;
        told(held, "reconfigure", back);
    }
    for held in making.frozen.iter().rev() {
        told(held, "thaw", held.keeper.call(Hook::Thaw, limit).await);
    }
    if let (Some(held), Some(workers)) = (making.held, life.workers.get()) {
        // What waits behind them is not waited for.
        drop(workers.release(&held));
    }
    life.refresh_dials();
}
