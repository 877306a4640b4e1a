//! Instances: created, reconfigured, given the state that is at rest, started; each in the order of the target.

use std::sync::Arc;

use polyport_host::hook_thread::{HookFault, HookThread};
use polyport_host::hooks::{Hook, HookOutput};
use polyport_host::instance::Instance;
use polyport_host::registry::registry;

use crate::control::apply::{ApplyError, Change};
use crate::control::plan::Step;
use crate::control::running::state::InstanceHandle;
use crate::control::running::store::{Saved, StateFault, Store};
use polyport_common::tasks;

impl Change<'_> {
    /// Creates what is new; what replaces an exclusive instance waits for the hand-over.
    pub(super) async fn create(&mut self) -> Result<(), ApplyError> {
        for (place, step) in self.plan.instances.iter().enumerate() {
            self.go_on()?;
            let handle = match step {
                Step::Keep(handle) | Step::Reconfigure(handle) => Some(Arc::clone(handle)),
                Step::Make {
                    instead_of: Some((old, _)),
                } if self.waits_for_hand_over(place, old) => None,
                Step::Make { .. } => Some(self.create_one(place).await?),
            };
            if let Some(slot) = self.slots.get_mut(place) {
                *slot = handle;
            }
        }
        Ok(())
    }

    /// Is the instance of this place created only when the one before is frozen?
    fn waits_for_hand_over(&self, place: usize, old: &InstanceHandle) -> bool {
        let wanted = self.config.instances.get(place);
        let chosen = wanted.and_then(|wanted| self.chosen(&wanted.name));
        let old = old.hook_thread.instance();
        old.is_exclusive() && chosen.is_some_and(|(_, handler)| handler.id == old.handler().id)
    }

    /// Creates the instance of one place.
    pub(super) async fn create_one(&self, place: usize) -> Result<Arc<InstanceHandle>, ApplyError> {
        let wanted = self.config.instances.get(place);
        let chosen = wanted.and_then(|wanted| Some((wanted, self.chosen(&wanted.name)?)));
        let Some((wanted, (generation, handler))) = chosen else {
            return Err(ApplyError::Handler {
                instance: wanted.map_or_else(String::new, |wanted| wanted.name.clone()),
            });
        };
        let instance = Instance::new(registry(), &wanted.name, generation, handler)?;
        let hook_thread = HookThread::start(instance)
            .map_err(ApplyError::system("a thread for the instance's hooks"))?;
        let handle = InstanceHandle::new(hook_thread);
        self.life
            .undo
            .borrow_mut()
            .instances
            .push(Arc::clone(&handle));
        let hook = Hook::Create(wanted.config.to_json().to_string());
        let result = handle.hook_thread.call(hook, self.hook_timeout()).await;
        result
            .map(|output| warn(&handle, &output))
            .map_err(|fault| ApplyError::hook(&handle, "create", &fault, true))?;
        let name = handle.hook_thread.instance().name();
        let (plugin, generation) = (&name.plugin, name.generation);
        tracing::info!(
            instance = name.instance,
            plugin,
            generation,
            "instance created"
        );
        Ok(handle)
    }

    /// Gives living instances their new configuration; one that declines is replaced.
    pub(super) async fn reconfigure(&mut self) -> Result<(), ApplyError> {
        for (place, step) in self.plan.instances.iter().enumerate() {
            let (Step::Reconfigure(handle), Some(wanted)) =
                (step, self.config.instances.get(place))
            else {
                continue;
            };
            self.go_on()?;
            let json = wanted.config.to_json().to_string();
            let hook = Hook::Reconfigure(json);
            match handle.hook_thread.call(hook, self.hook_timeout()).await {
                Ok(output) => {
                    warn(handle, &output);
                    let before = self.life.configured(handle.name()).unwrap_or_default();
                    let undone_by = (Arc::clone(handle), before);
                    self.life.undo.borrow_mut().reconfigured.push(undone_by);
                    tracing::info!(instance = handle.name(), "instance reconfigured");
                }
                Err(HookFault::Unsupported) => {
                    tracing::info!(
                        instance = handle.name(),
                        "the handler takes no new configuration while it serves: the instance is replaced"
                    );
                    // One that replaces an exclusive instance is created in the hand-over.
                    let exclusive = handle.hook_thread.instance().is_exclusive();
                    let made = if exclusive {
                        None
                    } else {
                        Some(self.create_one(place).await?)
                    };
                    if let Some(slot) = self.slots.get_mut(place) {
                        *slot = made;
                    }
                }
                Err(fault) => return Err(ApplyError::hook(handle, "reconfigure", &fault, true)),
            }
        }
        Ok(())
    }

    /// The state directory is needed only when a handler keeps state.
    pub(super) fn open_store(&self) -> Result<(), ApplyError> {
        let Some(directory) = &self.config.daemon.state_directory else {
            return Ok(());
        };
        let keeps = |name: &str| {
            let chosen = self.chosen(name);
            chosen.is_some_and(|(_, handler)| handler.table.save_state.is_some())
        };
        let mut wanted = self.config.instances.iter();
        let wanted = wanted.find(|wanted| keeps(&wanted.name));
        let Some(wanted) = wanted.filter(|_| self.life.store.borrow().is_none()) else {
            return Ok(());
        };
        let store = Store::open(directory).map_err(|error| ApplyError::Refused {
            instance: wanted.name.clone(),
            hook: "its state:",
            reason: format!("daemon.state-directory {}: {error}", directory.display()),
        })?;
        self.life.store.replace(Some(store));
        Ok(())
    }

    /// Gives new instances that replace none the state that is at rest.
    pub(super) async fn restore_from_rest(&self) -> Result<(), ApplyError> {
        // Without a store the check has warned already.
        let Some(store) = self.life.store.borrow().clone() else {
            return Ok(());
        };
        for (place, old) in self.made() {
            let Some(Some(handle)) = self.slots.get(place) else {
                continue;
            };
            let handed_over =
                old.is_some_and(|old| same_handler(old, handle) && !old.hook_thread.is_abandoned());
            if handed_over || !handle.hook_thread.instance().keeps_state() {
                continue;
            }
            self.go_on()?;
            let instance = Arc::clone(handle.hook_thread.instance());
            let from = store.clone();
            let sets_aside = self.cold && !self.life.is_standby();
            let found = tasks::blocking(move || stored(&from, &instance, sets_aside)).await;
            let found = found.map_err(|error| ApplyError::system("state")(error.into()))?;
            let found = found.map_err(|reason| ApplyError::Refused {
                instance: handle.name().to_owned(),
                hook: "restore_state",
                reason,
            })?;
            if let Some(saved) = found {
                let path = store.path(handle.name());
                let advice = if self.life.is_standby() {
                    "the process that has it serves on".to_owned()
                } else {
                    format!(
                        "the state stays in {}: move it away to start without",
                        path.display()
                    )
                };
                self.restore_one(handle, saved, &advice).await?;
            }
        }
        Ok(())
    }

    /// Gives an instance its state.
    pub(super) async fn restore_one(
        &self,
        handle: &InstanceHandle,
        saved: Saved,
        advice: &str,
    ) -> Result<(), ApplyError> {
        let Saved { version, bytes } = saved;
        let hook = Hook::Restore { version, bytes };
        match handle.hook_thread.call(hook, self.hook_timeout()).await {
            Ok(output) => {
                warn(handle, &output);
                tracing::info!(instance = handle.name(), version, "state restored");
                Ok(())
            }
            Err(fault @ HookFault::Failed { .. }) => Err(ApplyError::Refused {
                instance: handle.name().to_owned(),
                hook: "restore_state",
                reason: format!("{fault}; {advice}"),
            }),
            Err(fault) => Err(ApplyError::hook(handle, "restore_state", &fault, false)),
        }
    }

    /// Starts what is new.
    pub(super) async fn start(&self) -> Result<(), ApplyError> {
        let made = self.life.undo.borrow().instances.clone();
        // In the order of the target, which is that of `after:`.
        for handle in self.slots.iter().flatten() {
            if !made.iter().any(|one| Arc::ptr_eq(one, handle)) {
                continue;
            }
            self.go_on()?;
            handle.set_started(true);
            let started = handle
                .hook_thread
                .call(Hook::Start, self.hook_timeout())
                .await;
            if let Err(fault) = started {
                // What said that it did not start is not stopped.
                handle.set_started(!matches!(fault, HookFault::Failed { .. }));
                return Err(ApplyError::hook(handle, "start", &fault, false));
            }
            let name = handle.hook_thread.instance().name();
            tracing::info!(
                instance = name.instance,
                plugin = name.plugin,
                "instance started"
            );
        }
        Ok(())
    }
}

/// Do both run the handler of one name?
pub(super) fn same_handler(old: &InstanceHandle, new: &InstanceHandle) -> bool {
    old.hook_thread.instance().handler().id == new.hook_thread.instance().handler().id
}

/// What a hook reported though it went well.
fn warn(handle: &InstanceHandle, output: &HookOutput) {
    let name = handle.hook_thread.instance().name();
    for finding in &output.findings {
        let (pointer, message) = (&finding.pointer, &finding.message);
        tracing::warn!(
            instance = name.instance,
            plugin = name.plugin,
            pointer,
            "{message}"
        );
    }
}

/// What is at rest for an instance; at the start of the process what is damaged is set aside and said, unless the
/// process before this one can still use it. What cannot be read or set aside would be replaced at the next stop, so it is
/// an error, with what to do.
fn stored(store: &Store, instance: &Instance, sets_aside: bool) -> Result<Option<Saved>, String> {
    let (name, handler) = (&instance.name().instance, instance.handler());
    let path = store.path(name);
    let range = handler.state_min_version..=handler.state_version;
    let fault = match store.load(name, &handler.id) {
        Ok(Some(saved)) if range.contains(&saved.version) => return Ok(Some(saved)),
        Ok(Some(saved)) => format!(
            "it has version {}, and this plugin understands {} to {}",
            saved.version, handler.state_min_version, handler.state_version
        ),
        Ok(None) => return Ok(None),
        Err(StateFault::Unreadable(error)) => {
            return Err(format!(
                "{} cannot be read: {error}; correct its owner or mode, or move it away",
                path.display()
            ));
        }
        Err(fault) => fault.to_string(),
    };
    if !sets_aside {
        // A change that fails later could not put it back.
        return Err(format!(
            "{} cannot be used: {fault}; move it away to start without",
            path.display()
        ));
    }
    let aside = store.set_aside(name).map_err(|error| {
        format!(
            "{} cannot be used ({fault}) nor set aside: {error}; move it away",
            path.display()
        )
    })?;
    tracing::warn!(
        instance = name,
        path = %path.display(),
        aside = %aside.display(),
        reason = fault,
        "the state cannot be used and is set aside; the instance starts without"
    );
    Ok(None)
}
