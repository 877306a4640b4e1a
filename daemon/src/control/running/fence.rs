//! The fence around instances whose state goes elsewhere, to a replacement or to another process: their callbacks are
//! paused (the kernel keeps what arrives), exclusive ones are frozen, and their state is saved. It is taken down when
//! the change is committed, or rolled back.

use std::sync::Arc;
use std::time::Duration;

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::Hook;

use super::hooks::{HookCalls, HookError, log_hook_result};
use super::instance::InstanceHandle;
use super::save::{SaveError, save_state};
use super::state::RunningState;
use super::state_store::{SavedState, StateStore};
use crate::control::data_plane::DataPlane;

/// Why state cannot be handed over.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// A hook failed or did not return.
    #[error("{0}")]
    Hook(HookError),
    /// State could not be written before it was handed over.
    #[error(
        "instance `{instance}`: its state could not be written to {path}: {error}; the state before it stays"
    )]
    Write {
        /// Name of the instance.
        instance: String,
        /// Where.
        path: String,
        /// Why.
        error: String,
    },
    /// A worker is inside of a callback, so that an instance cannot be paused.
    #[error(
        "the callbacks of {instances} did not end within {seconds} s, so that the state cannot be handed over; the log \
         names a callback that takes long"
    )]
    Busy {
        /// Names of the instances.
        instances: String,
        /// How long was waited.
        seconds: f64,
    },
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Fence {
    paused: Option<Arc<[u32]>>,
    frozen: Vec<Arc<InstanceHandle>>,
}

impl Fence {
    /// Pauses instances, by their indices, and waits until none of their callbacks runs.
    ///
    /// # Errors
    /// [`FenceError::Busy`] at `limit`.
    pub async fn pause(
        &mut self,
        instances: Arc<[u32]>,
        state: &RunningState,
        plane: &DataPlane,
        limit: Duration,
    ) -> Result<(), FenceError> {
        self.paused = Some(Arc::clone(&instances));
        let paused = plane.pause(&instances);
        tokio::time::timeout(limit, paused.wait())
            .await
            .map_err(|_| {
                let busy = state.instances.iter();
                let busy = busy.filter(|handle| instances.contains(&handle.index()));
                FenceError::Busy {
                    instances: busy
                        .map(|handle| handle.name())
                        .collect::<Vec<_>>()
                        .join(", "),
                    seconds: limit.as_secs_f64(),
                }
            })
    }

    /// Calls `freeze`: the exclusive instance releases what only one instance can have.
    ///
    /// # Errors
    /// [`FenceError::Hook`].
    pub async fn freeze(
        &mut self,
        handle: &Arc<InstanceHandle>,
        limit: Duration,
    ) -> Result<(), FenceError> {
        // Recorded first: an instance whose hook is late may be frozen all the same.
        self.frozen.push(Arc::clone(handle));
        let Err(fault) = handle.hook_thread.call(Hook::Freeze, limit).await else {
            return Ok(());
        };
        if matches!(fault, HookFault::Failed { .. }) {
            self.frozen.pop();
        }
        Err(FenceError::Hook(HookError::new(handle, "freeze", &fault)))
    }

    /// Saves the state of a paused instance, and writes it to the store if there is one.
    ///
    /// # Errors
    /// [`FenceError::Hook`] and [`FenceError::Write`].
    pub async fn save(
        &self,
        handle: &InstanceHandle,
        store: Option<StateStore>,
        limit: Duration,
    ) -> Result<Option<SavedState>, FenceError> {
        let saved = save_state(handle, store, &mut HookCalls::new(limit)).await;
        saved.map_err(|error| match error {
            SaveError::Hook(fault) => {
                FenceError::Hook(HookError::new(handle, Hook::Save.name(), &fault))
            }
            SaveError::Write { path, error } => FenceError::Write {
                instance: handle.name().to_owned(),
                path,
                error,
            },
        })
    }

    /// Takes the fence down in reverse order: `thaw` of frozen instances, then their callbacks go on.
    pub async fn roll_back(&mut self, plane: &DataPlane, limit: Duration) {
        while let Some(handle) = self.frozen.pop() {
            let thawed = handle.hook_thread.call(Hook::Thaw, limit).await;
            log_hook_result(&handle, "thaw", thawed);
        }
        self.resume(plane);
    }

    /// Lets callbacks go on: of the instances that keep serving, and the last ones of those that were replaced.
    pub fn resume(&mut self, plane: &DataPlane) {
        if let Some(paused) = self.paused.take() {
            // Workers resume in their own time.
            drop(plane.resume(&paused));
        }
    }
}
