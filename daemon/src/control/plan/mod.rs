//! The plan: what lies between the world and a target. Pure: it looks at both and changes neither.

pub mod view;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_config::{Instance, ListenAddress};

use crate::control::desired::DesiredState;
use crate::control::running::state::{InstanceHandle, OpenListener, Retiring, RunningState};

/// A plan, as it is shown and as it is carried out.
#[derive(Debug)]
pub struct Plan {
    /// What becomes of each instance of the target, in its order.
    pub instances: Vec<Step>,
    /// Where each listener of the target comes from, in its order.
    pub sockets: Vec<SocketStep>,
}

/// What becomes of an instance.
#[derive(Debug, Clone)]
pub enum Step {
    /// Nothing.
    Keep(Arc<InstanceHandle>),
    /// It is asked to take its new configuration.
    Reconfigure(Arc<InstanceHandle>),
    /// A new one, perhaps in place of one that lives.
    Make {
        /// Which, and why.
        instead_of: Option<(Arc<InstanceHandle>, &'static str)>,
    },
}

/// Where a listener comes from.
#[derive(Debug, Clone)]
pub struct SocketStep {
    /// As in the configuration.
    pub wanted: ListenAddress,
    /// Whose it is to be.
    pub service: String,
    /// The open socket that serves on; `None`: to be opened.
    pub have: Option<OpenListener>,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A socket would have to be closed before another one opens.
    #[error(
        "service `{service}`: {opens} covers {closes}, which this change closes only after everything new is open; \
         remove {closes} in one reload and add {opens} in the next, or restart the daemon"
    )]
    Covered {
        /// Whose the new one is.
        service: String,
        /// The new address.
        opens: String,
        /// The present one.
        closes: String,
    },
    /// An exclusive instance cannot be asked to let go.
    #[error(
        "instance `{instance}` is exclusive, and a hook of it has not returned: it cannot be replaced while the daemon \
         runs; restart the daemon"
    )]
    Stuck {
        /// Which.
        instance: String,
    },
    /// The one before still has the state.
    #[error(
        "instance `{instance}` was taken out of service and still ends ({streams} streams are left): its state is not \
         at rest yet; ask again when it is gone, which `polyportctl plugins` tells"
    )]
    Leaves {
        /// Which.
        instance: String,
        /// Streams and flows that it has.
        streams: u64,
    },
}

/// Compares what runs with what is desired.
///
/// # Errors
/// See [`PlanError`].
pub fn plan(
    state: &RunningState,
    retiring: &[Retiring],
    desired: &DesiredState,
) -> Result<Plan, PlanError> {
    let sockets = places(state, desired)?;
    let wanted = desired.config.instances.iter();
    let instances: Vec<Step> = wanted.map(|one| step(state, desired, one)).collect();
    check(&instances, retiring, desired)?;
    Ok(Plan { instances, sockets })
}

/// Can everything that is to be made be made?
fn check(
    instances: &[Step],
    retiring: &[Retiring],
    desired: &DesiredState,
) -> Result<(), PlanError> {
    for (wanted, step) in desired.config.instances.iter().zip(instances) {
        let Step::Make { instead_of } = step else {
            continue;
        };
        if let Some((old, _)) = instead_of
            && old.hook_thread.is_abandoned()
            && old.hook_thread.instance().is_exclusive()
        {
            let instance = wanted.name.clone();
            return Err(PlanError::Stuck { instance });
        }
        let owner = |one: &&Retiring| {
            let instance = one.handle.hook_thread.instance();
            let has_state = instance.keeps_state() || instance.is_exclusive();
            one.handle.name() == wanted.name && has_state && one.handle.owns_state()
        };
        if let Some(one) = retiring.iter().find(owner) {
            return Err(PlanError::Leaves {
                instance: wanted.name.clone(),
                streams: one.handle.live.load(Ordering::Relaxed),
            });
        }
    }
    Ok(())
}

/// What becomes of one instance.
fn step(state: &RunningState, desired: &DesiredState, wanted: &Instance) -> Step {
    let Some(handle) = state.instance(&wanted.name) else {
        return Step::Make { instead_of: None };
    };
    let present = handle.hook_thread.instance();
    let replace = |why| Step::Make {
        instead_of: Some((Arc::clone(handle), why)),
    };
    let same_code = desired.handler_ref(&wanted.name).is_some_and(|(file, _)| {
        file.generation()
            .is_some_and(|generation| Arc::ptr_eq(generation, present.generation()))
    });
    let same_handler = desired
        .handler_ref(&wanted.name)
        .is_some_and(|(_, handler)| handler == present.handler().id);
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
        Step::Keep(Arc::clone(handle))
    } else if present.can_reconfigure() {
        Step::Reconfigure(Arc::clone(handle))
    } else {
        replace("its configuration changed")
    }
}

/// Finds the open socket for each listener of the target: of the same service first, then of any.
fn places(state: &RunningState, desired: &DesiredState) -> Result<Vec<SocketStep>, PlanError> {
    let mut left: Vec<&OpenListener> = state.sockets.iter().collect();
    let mut places: Vec<SocketStep> = Vec::new();
    for service in &desired.config.services {
        places.extend(service.listeners.iter().map(|listener| SocketStep {
            wanted: listener.address.clone(),
            service: service.name.clone(),
            have: None,
        }));
    }
    for of_same_service in [true, false] {
        for place in places.iter_mut().filter(|place| place.have.is_none()) {
            let fits = |open: &&OpenListener| {
                place.wanted.same_socket(&open.wanted)
                    && (!of_same_service || open.service == place.service)
            };
            if let Some(at) = left.iter().position(fits) {
                place.have = Some(left.swap_remove(at).clone());
            }
        }
    }
    for place in places.iter().filter(|place| place.have.is_none()) {
        if let Some(closes) = left.iter().find(|open| place.wanted.overlaps(&open.wanted)) {
            return Err(PlanError::Covered {
                service: place.service.clone(),
                opens: place.wanted.to_string(),
                closes: closes.opened.address().to_owned(),
            });
        }
    }
    Ok(places)
}
