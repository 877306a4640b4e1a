//! The hand-over of state from the instances that are replaced to those that replace them: their callbacks are held
//! back (the kernel keeps what arrives), exclusive ones are frozen, the state is saved, put to rest, restored. The
//! callbacks go on after the swap, or when the change is undone.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::Hook;

use super::instances::same_handler;
use super::{Change, ChangeFault};
use crate::control::life::Life;
use crate::control::state::Saved;
use crate::control::world::Held;
use polyport_common::tasks;

/// One instance and the place of the one that replaces it.
type Pair = (usize, Arc<Held>);

impl Change<'_> {
    /// See the module's text.
    pub(super) async fn hand_over(&mut self) -> Result<(), ChangeFault> {
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
            let Some((Some(held), Some(saved))) = self.slots.get(place).map(|held| (held, saved))
            else {
                continue;
            };
            let advice = "the instance that it comes from serves on";
            self.restore_one(held, saved, advice).await?;
        }
        Ok(())
    }

    /// Instances that are replaced by one of the same handler, and that `fit`.
    fn pairs(&self, fit: impl Fn(&Held) -> bool) -> Vec<Pair> {
        let replaced = self.replaced();
        // One whose hook has not returned cannot be asked for anything any more.
        let asked = replaced.filter(|(_, old)| !old.hook_thread.is_abandoned());
        asked.filter(|(_, old)| fit(old)).collect()
    }

    /// Instances that are replaced, those too that declined a new configuration.
    fn replaced(&self) -> impl Iterator<Item = Pair> {
        let world = self.life.world();
        let instances = self.config.instances.iter().zip(&self.slots).enumerate();
        instances.filter_map(move |(place, (wanted, slot))| {
            let old = world.instance(&wanted.name)?;
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
    fn check_versions(&self, keeping: &[Pair]) -> Result<(), ChangeFault> {
        for (_, old) in keeping {
            let Some((_, new)) = self.chosen(old.name()) else {
                continue;
            };
            let version = old.hook_thread.instance().handler().state_version;
            if !(new.state_min_version..=new.state_version).contains(&version) {
                return Err(ChangeFault::Refused {
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
) -> Result<(), ChangeFault> {
    let Some(workers) = life.workers.get() else {
        return Ok(());
    };
    life.making.borrow_mut().held = Some(Arc::clone(&still));
    let all = workers.hold(&still);
    tokio::time::timeout(limit, all.wait()).await.map_err(|_| {
        let world = life.world();
        let names = world.instances.iter().filter(|held| {
            let index = held.hook_thread.instance().index();
            still.contains(&index)
        });
        ChangeFault::Busy {
            instances: names.map(|held| held.name()).collect::<Vec<_>>().join(", "),
            seconds: limit.as_secs_f64(),
        }
    })
}

/// Has an exclusive instance let go of what only one may have.
pub(in crate::control) async fn freeze(
    life: &Life,
    old: &Arc<Held>,
    limit: Duration,
) -> Result<(), ChangeFault> {
    // Noted first: one that is late may be frozen all the same.
    life.making.borrow_mut().frozen.push(Arc::clone(old));
    let Err(fault) = old.hook_thread.call(Hook::Freeze, limit).await else {
        return Ok(());
    };
    if matches!(fault, HookFault::Failed { .. }) {
        life.making.borrow_mut().frozen.pop();
    }
    Err(ChangeFault::hook(old, "freeze", &fault, false))
}

/// Saves the state of an instance, and puts it to rest where there is a place for it.
pub(in crate::control) async fn save(
    life: &Life,
    old: &Arc<Held>,
    limit: Duration,
) -> Result<Option<Saved>, ChangeFault> {
    let output = old.hook_thread.call(Hook::Save, limit).await;
    let output = output.map_err(|fault| ChangeFault::hook(old, "save_state", &fault, false))?;
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
    let failed = |error: String| ChangeFault::State {
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
