//! The hand-over of state from the instances that are replaced to those that replace them: their callbacks are held
//! back (the kernel keeps what arrives), exclusive ones are frozen, the state is saved, put to rest, restored. The
//! callbacks go on after the swap, or when the change is undone.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::Hook;

use crate::control::apply::instances::same_handler;
use crate::control::apply::{ApplyError, Change};
use crate::control::life::Life;
use crate::control::running::state::InstanceHandle;
use crate::control::running::store::Saved;
use polyport_common::tasks;

/// One instance and the place of the one that replaces it.
type Pair = (usize, Arc<InstanceHandle>);

impl Change<'_> {
    /// See the module's text.
    pub(super) async fn hand_over(&mut self) -> Result<(), ApplyError> {
        let exclusive: Vec<Pair> = self.pairs(|old| old.hook_thread.instance().is_exclusive());
        let keeping: Vec<Pair> = self.pairs(|old| old.hook_thread.instance().keeps_state());
        let both = exclusive.iter().chain(&keeping);
        let mut still: Vec<u32> = both
            .map(|(_, old)| old.hook_thread.instance().index())
            .collect();
        still.sort_unstable();
        still.dedup();
        if still.is_empty() {
            return Ok(());
        }
        self.check_versions(&keeping)?;
        hold(self.life, still.into(), self.hook_timeout()).await?;
        for (_, old) in exclusive.iter().rev() {
            self.go_on()?;
            freeze(self.life, old, self.hook_timeout()).await?;
        }
        let mut saved = Vec::new();
        for (place, old) in &keeping {
            self.go_on()?;
            saved.push((*place, save(self.life, old, self.hook_timeout()).await?));
        }
        for (place, _) in &exclusive {
            self.go_on()?;
            let made = self.create_one(*place).await?;
            if let Some(slot) = self.slots.get_mut(*place) {
                *slot = Some(made);
            }
        }
        for (place, saved) in saved {
            self.go_on()?;
            let Some((Some(handle), Some(saved))) =
                self.slots.get(place).map(|handle| (handle, saved))
            else {
                continue;
            };
            let advice = "the instance that it comes from serves on";
            self.restore_one(handle, saved, advice).await?;
        }
        Ok(())
    }

    /// Instances that are replaced by one of the same handler, and that `fit`.
    fn pairs(&self, fit: impl Fn(&InstanceHandle) -> bool) -> Vec<Pair> {
        let replaced = self.replaced();
        // One whose hook has not returned cannot be asked for anything any more.
        let asked = replaced.filter(|(_, old)| !old.hook_thread.is_abandoned());
        asked.filter(|(_, old)| fit(old)).collect()
    }

    /// Instances that are replaced, those too that declined a new configuration.
    fn replaced(&self) -> impl Iterator<Item = Pair> {
        let state = self.life.state();
        let instances = self.config.instances.iter().zip(&self.slots).enumerate();
        instances.filter_map(move |(place, (wanted, slot))| {
            let old = state.instance(&wanted.name)?;
            let by_other_handler = match slot {
                Some(new) => Arc::ptr_eq(old, new) || !same_handler(old, new),
                // It waits for this hand-over.
                None => {
                    let (_, handler) = self.chosen(&wanted.name)?;
                    handler.id != old.hook_thread.instance().handler().id
                }
            };
            (!by_other_handler).then(|| (place, Arc::clone(old)))
        })
    }

    /// Can the new code read what the old code writes?
    fn check_versions(&self, keeping: &[Pair]) -> Result<(), ApplyError> {
        for (_, old) in keeping {
            let Some((_, new)) = self.chosen(old.name()) else {
                continue;
            };
            let version = old.hook_thread.instance().handler().state_version;
            if !(new.state_min_version..=new.state_version).contains(&version) {
                return Err(ApplyError::Refused {
                    instance: old.name().to_owned(),
                    hook: "restore_state",
                    reason: format!(
                        "cannot be asked: the state has version {version}, and the new code understands {} to {}",
                        new.state_min_version, new.state_version
                    ),
                });
            }
        }
        Ok(())
    }
}

/// Waits until no callback of these instances runs, and lets none begin.
pub(in crate::control) async fn hold(
    life: &Life,
    still: Arc<[u32]>,
    limit: Duration,
) -> Result<(), ApplyError> {
    let Some(workers) = life.workers.get() else {
        return Ok(());
    };
    life.undo.borrow_mut().handle = Some(Arc::clone(&still));
    let all = workers.hold(&still);
    tokio::time::timeout(limit, all.wait()).await.map_err(|_| {
        let state = life.state();
        let names = state.instances.iter().filter(|handle| {
            let index = handle.hook_thread.instance().index();
            still.contains(&index)
        });
        ApplyError::Busy {
            instances: names
                .map(|handle| handle.name())
                .collect::<Vec<_>>()
                .join(", "),
            seconds: limit.as_secs_f64(),
        }
    })
}

/// Has an exclusive instance let go of what only one may have.
pub(in crate::control) async fn freeze(
    life: &Life,
    old: &Arc<InstanceHandle>,
    limit: Duration,
) -> Result<(), ApplyError> {
    // Noted first: one that is late may be frozen all the same.
    life.undo.borrow_mut().frozen.push(Arc::clone(old));
    let Err(fault) = old.hook_thread.call(Hook::Freeze, limit).await else {
        return Ok(());
    };
    if matches!(fault, HookFault::Failed { .. }) {
        life.undo.borrow_mut().frozen.pop();
    }
    Err(ApplyError::hook(old, "freeze", &fault, false))
}

/// Saves the state of an instance, and puts it to rest where there is a place for it.
pub(in crate::control) async fn save(
    life: &Life,
    old: &Arc<InstanceHandle>,
    limit: Duration,
) -> Result<Option<Saved>, ApplyError> {
    let output = old.hook_thread.call(Hook::Save, limit).await;
    let output = output.map_err(|fault| ApplyError::hook(old, "save_state", &fault, false))?;
    let Some(bytes) = output.saved else {
        return Ok(None);
    };
    let handler = old.hook_thread.instance().handler();
    let saved = Saved {
        version: handler.state_version,
        bytes,
    };
    let Some(store) = life.store.borrow().clone() else {
        return Ok(Some(saved));
    };
    let failed = |error: String| ApplyError::State {
        instance: old.name().to_owned(),
        path: store.path(old.name()).display().to_string(),
        error,
    };
    let (to, name, of, copy) = (
        store.clone(),
        old.name().to_owned(),
        handler.id.clone(),
        saved.clone(),
    );
    let saving = tasks::blocking(move || to.save(&name, &of, &copy));
    match tokio::time::timeout(limit, saving).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => return Err(failed(error.to_string())),
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => {
            return Err(failed(
                "the disk takes longer than the hook-timeout".to_owned(),
            ));
        }
    }
    tracing::info!(
        instance = old.name(),
        bytes = saved.bytes.len(),
        "state saved"
    );
    Ok(Some(saved))
}
