//! The undo log of a change, and its rollback: afterwards the running state serves as before.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hooks::Hook;

use crate::control::process::Context;
use crate::control::running::fence::Fence;
use crate::control::running::hooks::{HookCalls, abandon, log_hook_result};
use crate::control::running::teardown::{Cause, State, teardown};
use crate::control::running::{InstanceHandle, OpenListener};

/// What a change has done so far, beside the instances in [`Inventory::starting`].
///
/// [`Inventory::starting`]: crate::control::running::Inventory::starting
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    /// New sockets.
    pub(super) opened: Vec<OpenListener>,
    /// Unix sockets whose mode or group was changed, with the address that has the previous ones.
    pub(super) access_changed: Vec<OpenListener>,
    /// Reconfigured instances, each with its previous configuration as JSON.
    pub(super) reconfigured: Vec<(Arc<InstanceHandle>, String)>,
    /// Instances that are paused and frozen.
    pub(super) fence: Fence,
}

impl UndoLog {
    /// Undoes everything, in reverse order.
    pub(super) async fn roll_back(&mut self, context: Context<'_>) {
        let Context {
            inventory, plane, ..
        } = context;
        // Closed first, so that nobody connects to an instance that ends.
        self.opened.clear();
        for open in self.access_changed.iter().rev() {
            if let Err(reason) = open.socket.set_access(&open.address) {
                tracing::warn!(reason, "the change is undone, but for this");
            }
        }
        let limit = inventory.hook_timeout.get();
        destroy_starting(context, limit).await;
        while let Some((handle, json)) = self.reconfigured.pop() {
            let hook = Hook::Reconfigure(json);
            let result = handle.hook_thread.call(hook, limit).await;
            log_hook_result(&handle, "reconfigure", result);
        }
        self.fence.roll_back(plane, limit).await;
        inventory.refresh_dials(plane);
    }
}

/// Ends new instances, the youngest first, after what they have dialled. Each stays in the inventory until it is
/// destroyed: a stop that breaks the rollback off ends the rest.
async fn destroy_starting(context: Context<'_>, limit: Duration) {
    let Context {
        inventory, plane, ..
    } = context;
    let starting = inventory.starting.borrow().clone();
    starting.iter().for_each(|handle| handle.end_dials());
    if starting.iter().any(|handle| !handle.users.is_empty()) {
        inventory.end_streams_of(&starting, plane);
    }
    for handle in starting.iter().rev() {
        let ended = tokio::time::timeout(limit, handle.users.wait()).await;
        if ended.is_err() {
            abandon(handle, "what it has dialled does not end");
        }
        // Its state was restored and never changed, so it is not saved.
        let mut calls = HookCalls::new(limit);
        teardown(handle, State::Drop, Cause::RolledBack, &mut calls).await;
        let mut starting = inventory.starting.borrow_mut();
        starting.retain(|one| !Arc::ptr_eq(one, handle));
    }
}
