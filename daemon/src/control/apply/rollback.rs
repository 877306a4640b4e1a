//! What a change has made so far, and how that is undone.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hooks::Hook;

use crate::control::life::Life;
use crate::control::running::hooks::log_hook_result;
use crate::control::running::state::{InstanceHandle, OpenListener};

/// See the module's text.
#[derive(Debug, Default)]
pub struct UndoLog {
    /// New instances, in the order of their making.
    pub instances: Vec<Arc<InstanceHandle>>,
    /// New sockets.
    pub opened: Vec<OpenListener>,
    /// Unix sockets of the present world with a new mode or group, each with the address that says the ones before.
    pub readmitted: Vec<OpenListener>,
    /// Instances of the present world whose callbacks are held back.
    pub handle: Option<Arc<[u32]>>,
    /// Instances of the present world that were frozen.
    pub frozen: Vec<Arc<InstanceHandle>>,
    /// Instances of the present world with a new configuration, each with the one before as JSON.
    pub reconfigured: Vec<(Arc<InstanceHandle>, String)>,
}

/// Undoes what a change has made: the present world goes on as if nothing had been asked for. What is undone leaves
/// the life's [`UndoLog`] step by step, so that a stop which breaks this off finds the rest.
pub async fn undo(life: &Life) {
    // Closed first, so that nobody connects to what ends.
    let opened = std::mem::take(&mut life.undo.borrow_mut().opened);
    drop(opened);
    let readmitted = std::mem::take(&mut life.undo.borrow_mut().readmitted);
    for open in readmitted.iter().rev() {
        if let Err(reason) = open.opened.set_access(&open.wanted) {
            tracing::warn!(reason, "the change is undone, but for this");
        }
    }
    let limit = life.hook_timeout.get();
    end_instances(life, limit).await;
    loop {
        let last = life.undo.borrow_mut().reconfigured.pop();
        let Some((handle, json)) = last else { break };
        let back = handle
            .hook_thread
            .call(Hook::Reconfigure(json), limit)
            .await;
        log_hook_result(&handle, "reconfigure", back);
    }
    loop {
        let last = life.undo.borrow_mut().frozen.pop();
        let Some(handle) = last else { break };
        log_hook_result(
            &handle,
            "thaw",
            handle.hook_thread.call(Hook::Thaw, limit).await,
        );
    }
    let handle = life.undo.borrow_mut().handle.take();
    if let (Some(handle), Some(workers)) = (handle, life.workers.get()) {
        // What waits behind them is not waited for.
        drop(workers.release(&handle));
    }
    life.refresh_dials();
}

/// Ends what was made: first what it may have dialled, then the instances, the youngest first.
async fn end_instances(life: &Life, limit: Duration) {
    let made = life.undo.borrow().instances.clone();
    if made.is_empty() {
        return;
    }
    made.iter().for_each(|handle| handle.end_dials());
    if made.iter().any(|handle| !handle.users.is_empty()) {
        life.end_streams_of(&made);
    }
    for handle in made.iter().rev() {
        let gone = tokio::time::timeout(limit, handle.users.wait()).await;
        if gone.is_err() {
            let name = handle.hook_thread.instance().name();
            tracing::error!(
                instance = name.instance,
                plugin = name.plugin,
                generation = name.generation,
                hook = "callback",
                reason = "what it has dialled does not end",
                "instance abandoned"
            );
            handle.hook_thread.abandon();
        }
        if handle.set_started(false) {
            log_hook_result(
                handle,
                "stop",
                handle.hook_thread.call(Hook::Stop, limit).await,
            );
        }
        let created = handle.hook_thread.instance().is_created();
        let destroyed = handle.hook_thread.call(Hook::Destroy, limit).await;
        if log_hook_result(handle, "destroy", destroyed).is_some() && created {
            tracing::info!(
                instance = handle.name(),
                "instance destroyed: the change is undone"
            );
        }
        let mut undo = life.undo.borrow_mut();
        undo.instances.retain(|one| !Arc::ptr_eq(one, handle));
    }
}
