//! Applying a plan, as a transaction: everything new is made beside what serves (code loaded, instances created, their
//! state transferred, started, sockets opened), then one commit replaces the running state. What fails before the commit
//! is rolled back. A start is the same from an empty state.

mod code;
mod instances;
mod state_transfer;
mod listeners;
mod commit;
mod rollback;
pub mod error;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use polyport_config::{Config, Workers};
use polyport_host::generation::{Generation, Handler};

pub use commit::Applied;
pub use error::ApplyError;
use rollback::UndoLog;

use super::desired::DesiredState;
use super::plan::{InstancePlan, Plan};
use super::process::Context;
use super::running::{HandlerRef, InstanceHandle, PluginFile};

/// Most workers: ids have room for as many, and one number is kept for what belongs to no worker.
const WORKERS_MAX: usize = 250;

/// Whether something serves already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The process starts: an address in use may soon be free, and a failure leaves all to the stop that follows.
    Start,
    /// The running state serves until the commit, and again after a rollback.
    Change,
}

/// A change under way.
struct Transaction<'a> {
    context: Context<'a>,
    config: Arc<Config>,
    handlers: HashMap<String, HandlerRef>,
    files: Vec<(PluginFile, Arc<Generation>)>,
    plan: &'a Plan,
    /// The desired instances, in their order, as far as they exist.
    instances: Vec<Option<Arc<InstanceHandle>>>,
    undo: UndoLog,
    mode: Mode,
    /// Set when the daemon is to stop: the change fails before its next step.
    interrupted: &'a Cell<bool>,
}

/// Applies a plan. Instances that were created are in the inventory until they are committed or destroyed, so that a
/// stop which breaks this off can end them.
///
/// # Errors
/// The first step that failed. A failed change was rolled back, a failed start was not.
pub async fn apply(
    context: Context<'_>,
    desired: DesiredState,
    plan: &Plan,
    mode: Mode,
    interrupted: &Cell<bool>,
) -> Result<Applied, ApplyError> {
    let mut transaction = Transaction {
        context,
        config: Arc::new(desired.config),
        handlers: desired.handlers,
        files: Vec::new(),
        plan,
        instances: vec![None; plan.instances.len()],
        undo: UndoLog::default(),
        mode,
        interrupted,
    };
    let result = transaction.run(desired.files).await;
    if result.is_err() && mode == Mode::Change {
        transaction.undo.roll_back(context).await;
    }
    result
}

impl Transaction<'_> {
    async fn run(&mut self, files: Vec<PluginFile>) -> Result<Applied, ApplyError> {
        self.begin()?;
        self.files = code::load(self, files).await?;
        self.await_old_state().await?;
        self.create().await?;
        self.open_store()?;
        self.reconfigure().await?;
        state_transfer::transfer_state(self).await?;
        self.restore_saved_state().await?;
        self.refresh_dials();
        self.start().await?;
        listeners::open_listeners(self).await?;
        self.start_workers()?;
        self.await_permission_to_serve().await?;
        self.commit().await
    }

    /// At the first change: makes what plugins use before the first of them is loaded.
    fn begin(&self) -> Result<(), ApplyError> {
        let Context {
            inventory, plane, ..
        } = self.context;
        let config = Arc::clone(&self.config);
        if inventory.initial_config.set(config).is_err() {
            return Ok(());
        }
        let daemon = &self.config.daemon;
        inventory.hook_timeout.set(daemon.hook_timeout);
        inventory.drain_timeout.set(daemon.drain_timeout);
        let workers = match daemon.workers {
            Workers::Auto => std::thread::available_parallelism().map_or(1, usize::from),
            Workers::Count(count) => count,
        };
        let workers = u8::try_from(workers.clamp(1, WORKERS_MAX)).unwrap_or(u8::MAX);
        plane.open(workers).map_err(ApplyError::system("workers"))?;
        match polyport_sys::limits::raise_open_files() {
            Ok((before, now)) => tracing::debug!(before, now, "limit of open files"),
            Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        }
        Ok(())
    }

    /// In an upgrade: waits until the old process has saved all state, in the directory that this one reads.
    async fn await_old_state(&self) -> Result<(), ApplyError> {
        let Some(old) = self.context.process.serving_old_process() else {
            return Ok(());
        };
        let directory = self.config.daemon.state_directory.as_deref();
        let saved = old.await_saved_state(directory).await;
        saved.map_err(ApplyError::Upgrade)?;
        self.check_interrupt()
    }

    /// In an upgrade: waits until the old process accepts and receives nothing any more.
    async fn await_permission_to_serve(&self) -> Result<(), ApplyError> {
        self.check_interrupt()?;
        match self.context.process.serving_old_process() {
            Some(old) => old.request_serve().await.map_err(ApplyError::Upgrade),
            None => Ok(()),
        }
    }

    fn start_workers(&self) -> Result<(), ApplyError> {
        let started = self.context.plane.start();
        started.map_err(ApplyError::system("workers"))
    }

    fn refresh_dials(&self) {
        self.context.inventory.refresh_dials(self.context.plane);
    }

    /// Fails when the daemon is to stop.
    fn check_interrupt(&self) -> Result<(), ApplyError> {
        if self.interrupted.get() {
            Err(ApplyError::Interrupted)
        } else {
            Ok(())
        }
    }

    fn hook_timeout(&self) -> Duration {
        self.config.daemon.hook_timeout
    }

    /// The code of a desired instance.
    fn handler_of(&self, instance: &str) -> Option<(Arc<Generation>, Handler)> {
        let handler = self.handlers.get(instance)?;
        let (_, generation) = self.files.get(handler.file)?;
        let handler = generation.handler(&handler.handler)?.clone();
        Some((Arc::clone(generation), handler))
    }

    /// The instances that this change creates: the index of each, and the instance that it replaces.
    fn created(&self) -> impl Iterator<Item = (usize, Option<&Arc<InstanceHandle>>)> {
        let plans = self.plan.instances.iter().enumerate();
        plans.filter_map(|(index, plan)| match plan {
            InstancePlan::Create { replaces } => {
                Some((index, replaces.as_ref().map(|(handle, _)| handle)))
            }
            InstancePlan::Keep(_) | InstancePlan::Reconfigure(_) => None,
        })
    }
}
