//! A change: from a world to the one that a target asks for. Everything new is made beside what serves: code loaded,
//! instances created, their state handed over, started, sockets opened. Then one swap; what was replaced drains
//! after it. What fails before the swap is undone. A start is the change from an empty world.

pub mod fault;
pub mod making;
mod code;
mod instances;
mod hand_over;
mod sockets;
mod predecessor;
mod swap;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use polyport_config::Config;
use polyport_host::generation::{Generation, Handler};

pub use fault::ChangeFault;
pub(super) use hand_over::{freeze, hold, save};
pub use making::{Making, undo};
pub use swap::Applied;

use super::life::Life;
use super::plan::{Plan, Step};
use super::target::{Choice, File, Target};
use super::world::Held;

/// A change under way.
struct Change<'a> {
    life: &'a Life,
    config: Arc<Config>,
    choices: HashMap<String, Choice>,
    files: Vec<(File, Arc<Generation>)>,
    plan: &'a Plan,
    /// The instances of the target, in its order, as far as they are there.
    slots: Vec<Option<Arc<Held>>>,
    /// Set when the daemon is to stop: the change ends after the step that runs.
    interrupted: &'a Cell<bool>,
    /// The process starts: an address that is in use may become free within moments.
    cold: bool,
}

/// Carries a plan out. What was made stands in the life's [`Making`] until it serves, so that whoever breaks the
/// change off can [`undo`] it.
///
/// # Errors
/// The first step that failed. Nothing is undone yet.
pub async fn change(
    life: &Life,
    target: Target,
    plan: &Plan,
    cold: bool,
    interrupted: &Cell<bool>,
) -> Result<Applied, ChangeFault> {
    let Target {
        config,
        files,
        choices,
    } = target;
    let mut change = Change {
        life,
        config: Arc::new(config),
        choices,
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
    fn go_on(&self) -> Result<(), ChangeFault> {
        if self.interrupted.get() {
            Err(ChangeFault::Interrupted)
        } else {
            Ok(())
        }
    }

    fn hook_timeout(&self) -> Duration {
        self.config.daemon.hook_timeout
    }

    /// The code of an instance of the target.
    fn chosen(&self, instance: &str) -> Option<(Arc<Generation>, Handler)> {
        let choice = self.choices.get(instance)?;
        let (_, generation) = self.files.get(choice.file)?;
        let handler = generation.handler(&choice.handler)?.clone();
        Some((Arc::clone(generation), handler))
    }

    /// The instances that this change makes: place in the target, and whom each replaces.
    fn made(&self) -> impl Iterator<Item = (usize, Option<&Arc<Held>>)> {
        let steps = self.plan.instances.iter().enumerate();
        steps.filter_map(|(place, step)| match step {
            Step::Make { instead_of } => Some((place, instead_of.as_ref().map(|(held, _)| held))),
            Step::Keep(_) | Step::Reconfigure(_) => None,
        })
    }
}
