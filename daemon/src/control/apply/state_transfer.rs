//! The transfer of state from instances that are replaced to their replacements, behind a [`Fence`]: pause, freeze,
//! save, create, restore. The fence is taken down by the commit or by the rollback.
//!
//! [`Fence`]: crate::control::running::fence::Fence

use std::sync::Arc;

use super::instances::{restore_refused, same_handler};
use super::{ApplyError, Transaction};
use crate::control::running::InstanceHandle;

/// The index of a desired instance, and the running instance that it replaces.
type Replacement = (usize, Arc<InstanceHandle>);

/// See the module's text.
pub(super) async fn transfer_state(transaction: &mut Transaction<'_>) -> Result<(), ApplyError> {
    let exclusive = replacements(transaction, |old| old.hook_thread.instance().is_exclusive());
    let stateful = replacements(transaction, |old| old.hook_thread.instance().keeps_state());
    let fenced = exclusive.iter().chain(&stateful);
    let mut fenced: Vec<u32> = fenced.map(|(_, old)| old.index()).collect();
    fenced.sort_unstable();
    fenced.dedup();
    if fenced.is_empty() {
        return Ok(());
    }
    check_versions(transaction, &stateful)?;
    let (timeout, inventory) = (transaction.hook_timeout(), transaction.context.inventory);
    let (state, plane) = (inventory.state(), transaction.context.plane);
    let pausing = transaction
        .undo
        .fence
        .pause(fenced.into(), &state, plane, timeout);
    pausing.await?;
    for (_, old) in exclusive.iter().rev() {
        transaction.check_interrupt()?;
        transaction.undo.fence.freeze(old, timeout).await?;
    }
    let mut saved = Vec::new();
    for (index, old) in &stateful {
        transaction.check_interrupt()?;
        let store = inventory.store.borrow().clone();
        saved.push((
            *index,
            transaction.undo.fence.save(old, store, timeout).await?,
        ));
    }
    for (index, _) in &exclusive {
        transaction.check_interrupt()?;
        let created = transaction.create_one(*index).await?;
        transaction.set_instance(*index, Some(created));
    }
    for (index, saved) in saved {
        transaction.check_interrupt()?;
        if let (Some(Some(handle)), Some(saved)) = (transaction.instances.get(index), saved) {
            let advice = "the instance that it comes from serves on";
            transaction.restore(handle, saved, advice).await?;
        }
    }
    Ok(())
}

/// The replaced instances that `fit` and that run the same handler as their replacements. One whose hook has not
/// returned is left out: none of its hooks can be called any more.
fn replacements(
    transaction: &Transaction<'_>,
    fit: impl Fn(&InstanceHandle) -> bool,
) -> Vec<Replacement> {
    let state = transaction.context.inventory.state();
    let desired = transaction
        .config
        .instances
        .iter()
        .zip(&transaction.instances);
    let replaced = desired.enumerate().filter_map(|(index, (wanted, new))| {
        let old = state.instance(&wanted.name)?;
        let is_replaced = match new {
            Some(new) => !Arc::ptr_eq(old, new) && same_handler(old, new),
            // It is created in this transfer.
            None => {
                let (_, handler) = transaction.handler_of(&wanted.name)?;
                handler.id == old.hook_thread.instance().handler().id
            }
        };
        is_replaced.then(|| (index, Arc::clone(old)))
    });
    replaced
        .filter(|(_, old)| !old.hook_thread.is_abandoned() && fit(old))
        .collect()
}

/// Checks that the new code can read what the old code writes.
fn check_versions(
    transaction: &Transaction<'_>,
    stateful: &[Replacement],
) -> Result<(), ApplyError> {
    for (_, old) in stateful {
        let Some((_, new)) = transaction.handler_of(old.name()) else {
            continue;
        };
        let version = old.hook_thread.instance().handler().state_version;
        if !(new.state_min_version..=new.state_version).contains(&version) {
            let reason = format!(
                "cannot be asked: the state has version {version}, and the new code understands {} to {}",
                new.state_min_version, new.state_version
            );
            return Err(restore_refused(old, reason));
        }
    }
    Ok(())
}
