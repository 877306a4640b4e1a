//! A change: from a world to the one that a target asks for. Everything new is made beside what serves: code loaded,
//! instances created, their state handed over, started, sockets opened. Then one swap; what was replaced drains
//! after it. What fails before the swap is undone. A start is the change from an empty world.

mod code;
mod instances;
mod state_transfer;
mod listeners;
mod standby;
mod commit;
pub mod rollback;
pub mod error;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use polyport_config::Config;
use polyport_host::generation::{Generation, Handler};

pub use commit::Applied;
pub use error::ApplyError;
pub use rollback::{UndoLog, undo};
pub(super) use state_transfer::{freeze, hold, save};

use crate::control::desired::{DesiredState, File, HandlerRef};
use crate::control::life::Life;
use crate::control::plan::{Plan, Step};
use crate::control::running::state::InstanceHandle;

/// A change under way.
struct Change<'a> {
    life: &'a Life,
    config: Arc<Config>,
    handlers: HashMap<String, HandlerRef>,
    files: Vec<(File, Arc<Generation>)>,
    plan: &'a Plan,
    /// The instances of the target, in its order, as far as they are there.
    slots: Vec<Option<Arc<InstanceHandle>>>,
    /// Set when the daemon is to stop: the change ends after the step that runs.
    interrupted: &'a Cell<bool>,
    /// The process starts: an address that is in use may become free within moments.
    cold: bool,
}

/// Carries a plan out. What was made stands in the life's [`UndoLog`] until it serves, so that whoever breaks the
/// change off can [`undo`] it.
///
/// # Errors
/// The first step that failed. Nothing is undone yet.
pub async fn change(
    life: &Life,
    desired: DesiredState,
    plan: &Plan,
    cold: bool,
    interrupted: &Cell<bool>,
) -> Result<Applied, ApplyError> {
    let DesiredState {
        config,
        files,
        handlers,
    } = desired;
    let mut change = Change {
        life,
        config: Arc::new(config),
        handlers,
        files: Vec::new(),
        plan,
        slots: vec![None; plan.instances.len()],
        interrupted,
        cold,
    };
    life.begin(&change.config)?;
    change.load(files).await?;
    change.meet().await?;
    change.create().await?;
    change.open_store()?;
    change.reconfigure().await?;
    change.hand_over().await?;
    change.restore_from_rest().await?;
    life.refresh_dials();
    change.start().await?;
    change.open_sockets().await?;
    life.start_workers()?;
    change.may_serve().await?;
    change.swap().await
}

impl Change<'_> {
    /// Is the change to be broken off here?
    fn go_on(&self) -> Result<(), ApplyError> {
        if self.interrupted.get() {
            Err(ApplyError::Interrupted)
        } else {
            Ok(())
        }
    }

    fn hook_timeout(&self) -> Duration {
        self.config.daemon.hook_timeout
    }

    /// The code of an instance of the target.
    fn chosen(&self, instance: &str) -> Option<(Arc<Generation>, Handler)> {
        let handler_ref = self.handlers.get(instance)?;
        let (_, generation) = self.files.get(handler_ref.file)?;
        let handler = generation.handler(&handler_ref.handler)?.clone();
        Some((Arc::clone(generation), handler))
    }

    /// The instances that this change makes: place in the target, and whom each replaces.
    fn made(&self) -> impl Iterator<Item = (usize, Option<&Arc<InstanceHandle>>)> {
        let steps = self.plan.instances.iter().enumerate();
        steps.filter_map(|(place, step)| match step {
            Step::Make { instead_of } => {
                Some((place, instead_of.as_ref().map(|(handle, _)| handle)))
            }
            Step::Keep(_) | Step::Reconfigure(_) => None,
        })
    }
}
