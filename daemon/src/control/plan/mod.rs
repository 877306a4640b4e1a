//! The plan of a change: the difference between the running and the desired state, as steps. Pure: nothing is called
//! or changed. `view.rs` describes a plan for the operator.

pub mod view;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_config::{Instance, ListenAddress};

use super::desired::DesiredState;
use super::running::{InstanceHandle, OpenListener, Retiring, RunningState};

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// One step for each desired instance, in their order.
    pub instances: Vec<InstancePlan>,
    /// One for each desired listener, in their order.
    pub listeners: Vec<ListenerPlan>,
}

/// What becomes of an instance.
#[derive(Debug, Clone)]
pub enum InstancePlan {
    /// Nothing changes.
    Keep(Arc<InstanceHandle>),
    /// Its `reconfigure` is called.
    Reconfigure(Arc<InstanceHandle>),
    /// A new instance is created.
    Create {
        /// The running instance that it replaces, and why.
        replaces: Option<(Arc<InstanceHandle>, &'static str)>,
    },
}

/// Where a listener comes from.
#[derive(Debug, Clone)]
pub struct ListenerPlan {
    /// The address in the configuration.
    pub address: ListenAddress,
    /// Name of its service.
    pub service: String,
    /// The open socket that is kept; `None`: one is to be opened.
    pub kept: Option<OpenListener>,
}

/// Why the desired state cannot be reached from the running one.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A socket would have to be closed before another one can be opened.
    #[error(
        "service `{service}`: {opens} covers {closes}, which this change closes only after everything new is open; \
         remove {closes} in one reload and add {opens} in the next, or restart the daemon"
    )]
    Covered {
        /// Service of the new address.
        service: String,
        /// The new address.
        opens: String,
        /// The address in the way.
        closes: String,
    },
    /// An exclusive instance cannot be frozen any more.
    #[error(
        "instance `{instance}` is exclusive, and a hook of it has not returned: it cannot be replaced while the daemon \
         runs; restart the daemon"
    )]
    Stuck {
        /// Its name.
        instance: String,
    },
    /// A retiring instance of this name has not saved its state yet.
    #[error(
        "instance `{instance}` was taken out of service and still ends ({streams} streams are left): its state is not \
         at rest yet; ask again when it is gone, which `polyportctl plugins` tells"
    )]
    Retiring {
        /// Its name.
        instance: String,
        /// Number of its streams and flows.
        streams: u64,
    },
}

/// Compares the running with the desired state.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    state: &RunningState,
    retiring: &[Retiring],
    desired: &DesiredState,
) -> Result<Plan, PlanError> {
    let listeners = plan_listeners(state, desired)?;
    let wanted = desired.config.instances.iter();
    let instances: Vec<_> = wanted
        .map(|one| plan_instance(state, desired, one))
        .collect();
    check(&instances, retiring, desired)?;
    Ok(Plan {
        instances,
        listeners,
    })
}

/// Checks that every planned instance can be created.
fn check(
    instances: &[InstancePlan],
    retiring: &[Retiring],
    desired: &DesiredState,
) -> Result<(), PlanError> {
    for (wanted, step) in desired.config.instances.iter().zip(instances) {
        let InstancePlan::Create { replaces } = step else {
            continue;
        };
        if let Some((old, _)) = replaces
            && old.hook_thread.is_abandoned()
            && old.hook_thread.instance().is_exclusive()
        {
            let instance = wanted.name.clone();
            return Err(PlanError::Stuck { instance });
        }
        let has_state = |one: &&Retiring| {
            let instance = one.handle.hook_thread.instance();
            let has_state = instance.keeps_state() || instance.is_exclusive();
            one.handle.name() == wanted.name && has_state && one.handle.owns_state()
        };
        if let Some(one) = retiring.iter().find(has_state) {
            return Err(PlanError::Retiring {
                instance: wanted.name.clone(),
                streams: one.handle.live.load(Ordering::Relaxed),
            });
        }
    }
    Ok(())
}

fn plan_instance(state: &RunningState, desired: &DesiredState, wanted: &Instance) -> InstancePlan {
    let Some(handle) = state.instance(&wanted.name) else {
        return InstancePlan::Create { replaces: None };
    };
    let present = handle.hook_thread.instance();
    let replace = |why| InstancePlan::Create {
        replaces: Some((Arc::clone(handle), why)),
    };
    let handler = desired.handler_of(&wanted.name);
    let code = handler.and_then(|(file, _)| file.generation());
    let same_code = code.is_some_and(|generation| handle.runs(generation));
    let same_handler = handler.is_some_and(|(_, id)| id == present.handler().id);
    let configured = state.config.as_ref().and_then(|config| {
        let mut instances = config.instances.iter();
        instances.find(|one| one.name == wanted.name)
    });
    let same_config = configured.is_some_and(|one| one.config.to_json() == wanted.config.to_json());
    if handle.hook_thread.is_abandoned() {
        replace("a hook of it has not returned")
    } else if !same_code {
        replace("new code")
    } else if !same_handler {
        replace("another handler")
    } else if same_config {
        InstancePlan::Keep(Arc::clone(handle))
    } else if present.can_reconfigure() {
        InstancePlan::Reconfigure(Arc::clone(handle))
    } else {
        replace("its configuration changed")
    }
}

/// Finds the open socket for each desired listener: first of the same service, then of any.
fn plan_listeners(
    state: &RunningState,
    desired: &DesiredState,
) -> Result<Vec<ListenerPlan>, PlanError> {
    let mut unused: Vec<&OpenListener> = state.listeners.iter().collect();
    let mut plans: Vec<ListenerPlan> = Vec::new();
    for service in &desired.config.services {
        plans.extend(service.listeners.iter().map(|listener| ListenerPlan {
            address: listener.address.clone(),
            service: service.name.clone(),
            kept: None,
        }));
    }
    for same_service in [true, false] {
        for plan in plans.iter_mut().filter(|plan| plan.kept.is_none()) {
            let fits = |open: &&OpenListener| {
                plan.address.same_socket(&open.address)
                    && (!same_service || open.service == plan.service)
            };
            if let Some(index) = unused.iter().position(fits) {
                plan.kept = Some(unused.swap_remove(index).clone());
            }
        }
    }
    for plan in plans.iter().filter(|plan| plan.kept.is_none()) {
        let mut closing = unused.iter();
        if let Some(closes) = closing.find(|open| plan.address.overlaps(&open.address)) {
            return Err(PlanError::Covered {
                service: plan.service.clone(),
                opens: plan.address.to_string(),
                closes: closes.socket.address().to_owned(),
            });
        }
    }
    Ok(plans)
}
