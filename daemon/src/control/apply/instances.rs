//! Instances of a change: created, reconfigured, given saved state, started; each in the desired order.

use std::sync::Arc;

use polyport_host::hook_thread::{HookFault, HookThread};
use polyport_host::hooks::{Hook, HookOutput};
use polyport_host::instance::Instance;
use polyport_host::registry::registry;

use super::{ApplyError, Transaction};
use crate::control::plan::InstancePlan;
use crate::control::running::InstanceHandle;
use crate::control::running::hooks::HookError;
use crate::control::running::instance::log_instance;
use crate::control::running::state_store::{SavedState, StateError, StateStore};
use polyport_common::tasks;

impl Transaction<'_> {
    /// Creates new instances, except those that replace an exclusive one: they are created once it is frozen.
    pub(super) async fn create(&mut self) -> Result<(), ApplyError> {
        for (index, plan) in self.plan.instances.iter().enumerate() {
            self.check_interrupt()?;
            let handle = match plan {
                InstancePlan::Keep(handle) | InstancePlan::Reconfigure(handle) => {
                    Some(Arc::clone(handle))
                }
                InstancePlan::Create {
                    replaces: Some((old, _)),
                } if self.waits_for_freeze(index, old) => None,
                InstancePlan::Create { .. } => Some(self.create_one(index).await?),
            };
            self.set_instance(index, handle);
        }
        Ok(())
    }

    fn waits_for_freeze(&self, index: usize, old: &InstanceHandle) -> bool {
        let wanted = self.config.instances.get(index);
        let handler = wanted.and_then(|wanted| self.handler_of(&wanted.name));
        let old = old.hook_thread.instance();
        old.is_exclusive() && handler.is_some_and(|(_, handler)| handler.id == old.handler().id)
    }

    pub(super) fn set_instance(&mut self, index: usize, handle: Option<Arc<InstanceHandle>>) {
        if let Some(slot) = self.instances.get_mut(index) {
            *slot = handle;
        }
    }

    /// Creates the desired instance of this index.
    pub(super) async fn create_one(&self, index: usize) -> Result<Arc<InstanceHandle>, ApplyError> {
        let wanted = self.config.instances.get(index);
        let handler = wanted.and_then(|wanted| Some((wanted, self.handler_of(&wanted.name)?)));
        let Some((wanted, (generation, handler))) = handler else {
            return Err(ApplyError::Handler {
                instance: wanted.map_or_else(String::new, |wanted| wanted.name.clone()),
            });
        };
        let instance = Instance::new(registry(), &wanted.name, generation, handler)?;
        let hook_thread = HookThread::start(instance)
            .map_err(ApplyError::system("a thread for the instance's hooks"))?;
        let handle = InstanceHandle::new(hook_thread);
        let starting = &self.context.inventory.starting;
        starting.borrow_mut().push(Arc::clone(&handle));
        let hook = Hook::Create(wanted.config.to_json().to_string());
        let created = handle.hook_thread.call(hook, self.hook_timeout()).await;
        let output = created.map_err(|fault| ApplyError::refused(&handle, "create", &fault))?;
        log_findings(&handle, &output);
        log_instance!(info, handle, "instance created");
        Ok(handle)
    }

    /// Reconfigures running instances; one whose handler cannot do that is replaced.
    pub(super) async fn reconfigure(&mut self) -> Result<(), ApplyError> {
        for (index, plan) in self.plan.instances.iter().enumerate() {
            let (InstancePlan::Reconfigure(handle), Some(wanted)) =
                (plan, self.config.instances.get(index))
            else {
                continue;
            };
            self.check_interrupt()?;
            let hook = Hook::Reconfigure(wanted.config.to_json().to_string());
            match handle.hook_thread.call(hook, self.hook_timeout()).await {
                Ok(output) => {
                    log_findings(handle, &output);
                    let before = self.present_config(handle.name()).unwrap_or_default();
                    self.undo.reconfigured.push((Arc::clone(handle), before));
                    tracing::info!(instance = handle.name(), "instance reconfigured");
                }
                Err(HookFault::Unsupported) => {
                    tracing::info!(
                        instance = handle.name(),
                        "the handler takes no new configuration while it serves: the instance is replaced"
                    );
                    // The replacement of an exclusive instance is created once that one is frozen.
                    let exclusive = handle.hook_thread.instance().is_exclusive();
                    let created = if exclusive {
                        None
                    } else {
                        Some(self.create_one(index).await?)
                    };
                    self.set_instance(index, created);
                }
                Err(fault) => return Err(ApplyError::refused(handle, "reconfigure", &fault)),
            }
        }
        Ok(())
    }

    /// The present configuration of an instance, as JSON text.
    fn present_config(&self, instance: &str) -> Option<String> {
        let state = self.context.inventory.state();
        let mut instances = state.config.as_ref()?.instances.iter();
        let found = instances.find(|one| one.name == instance)?;
        Some(found.config.to_json().to_string())
    }

    /// Opens the state directory, once a handler keeps state.
    pub(super) fn open_store(&self) -> Result<(), ApplyError> {
        let Some(directory) = &self.config.daemon.state_directory else {
            return Ok(());
        };
        let store = &self.context.inventory.store;
        let keeps_state = |name: &str| {
            let handler = self.handler_of(name);
            handler.is_some_and(|(_, handler)| handler.table.save_state.is_some())
        };
        let mut instances = self.config.instances.iter();
        let keeping = instances.find(|wanted| keeps_state(&wanted.name));
        let Some(keeping) = keeping.filter(|_| store.borrow().is_none()) else {
            return Ok(());
        };
        let opened = StateStore::open(directory).map_err(|error| {
            ApplyError::Refused(HookError {
                instance: keeping.name.clone(),
                hook: "its state:",
                reason: format!("daemon.state-directory {}: {error}", directory.display()),
            })
        })?;
        store.replace(Some(opened));
        Ok(())
    }

    /// Restores saved state into new instances that got none from an instance that they replace.
    pub(super) async fn restore_saved_state(&self) -> Result<(), ApplyError> {
        // Validation has warned already if there is no store.
        let Some(store) = self.context.inventory.store.borrow().clone() else {
            return Ok(());
        };
        let is_standby = self.context.process.is_standby();
        for (index, old) in self.created() {
            let Some(Some(handle)) = self.instances.get(index) else {
                continue;
            };
            let transferred =
                old.is_some_and(|old| same_handler(old, handle) && !old.hook_thread.is_abandoned());
            if transferred || !handle.hook_thread.instance().keeps_state() {
                continue;
            }
            self.check_interrupt()?;
            let instance = Arc::clone(handle.hook_thread.instance());
            let from = store.clone();
            let damage = match self.mode {
                super::Mode::Start if !is_standby => OnDamage::SetAside,
                _ => OnDamage::Fail,
            };
            let found = tasks::blocking(move || load_state(&from, &instance, damage)).await;
            let found = found.map_err(|error| ApplyError::system("state")(error.into()))?;
            let found = found.map_err(|reason| restore_refused(handle, reason))?;
            if let Some(saved) = found {
                let path = store.path(handle.name());
                let advice = if is_standby {
                    "the process that has it serves on".to_owned()
                } else {
                    format!(
                        "the state stays in {}: move it away to start without",
                        path.display()
                    )
                };
                self.restore(handle, saved, &advice).await?;
            }
        }
        Ok(())
    }

    /// Calls `restore_state`.
    pub(super) async fn restore(
        &self,
        handle: &InstanceHandle,
        saved: SavedState,
        advice: &str,
    ) -> Result<(), ApplyError> {
        let SavedState { version, bytes } = saved;
        let hook = Hook::Restore { version, bytes };
        match handle.hook_thread.call(hook, self.hook_timeout()).await {
            Ok(output) => {
                log_findings(handle, &output);
                tracing::info!(instance = handle.name(), version, "state restored");
                Ok(())
            }
            Err(fault @ HookFault::Failed { .. }) => {
                Err(restore_refused(handle, format!("{fault}; {advice}")))
            }
            Err(fault) => {
                let error = HookError::new(handle, "restore_state", &fault);
                Err(ApplyError::Hook(error))
            }
        }
    }

    /// Starts new instances, in the desired order, which is that of `after:`.
    pub(super) async fn start(&self) -> Result<(), ApplyError> {
        let starting = self.context.inventory.starting.borrow().clone();
        for handle in self.instances.iter().flatten() {
            if !starting.iter().any(|one| Arc::ptr_eq(one, handle)) {
                continue;
            }
            self.check_interrupt()?;
            handle.set_started(true);
            let timeout = self.hook_timeout();
            if let Err(fault) = handle.hook_thread.call(Hook::Start, timeout).await {
                // `stop` is not called when `start` itself reported the failure.
                handle.set_started(!matches!(fault, HookFault::Failed { .. }));
                let error = HookError::new(handle, "start", &fault);
                return Err(ApplyError::Hook(error));
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

/// Returns whether both run the handler of one id.
pub(super) fn same_handler(old: &InstanceHandle, new: &InstanceHandle) -> bool {
    old.hook_thread.instance().handler().id == new.hook_thread.instance().handler().id
}

pub(super) fn restore_refused(handle: &InstanceHandle, reason: String) -> ApplyError {
    ApplyError::Refused(HookError {
        instance: handle.name().to_owned(),
        hook: "restore_state",
        reason,
    })
}

/// Logs what a hook reported though it went well.
fn log_findings(handle: &InstanceHandle, output: &HookOutput) {
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

/// What to do with a state file that cannot be used.
#[derive(Debug, Clone, Copy)]
enum OnDamage {
    /// Rename it; the instance starts without state.
    SetAside,
    /// Fail: a rollback could not bring the file back, or the old process can still use it.
    Fail,
}

/// Loads the saved state of an instance. A file that can neither be read nor set aside is an error, because the next
/// stop would replace it.
fn load_state(
    store: &StateStore,
    instance: &Instance,
    damage: OnDamage,
) -> Result<Option<SavedState>, String> {
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
        Err(StateError::Unreadable(error)) => {
            return Err(format!(
                "{} cannot be read: {error}; correct its owner or mode, or move it away",
                path.display()
            ));
        }
        Err(fault) => fault.to_string(),
    };
    if let OnDamage::Fail = damage {
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
