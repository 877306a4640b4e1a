//! Saving the state of an instance: the only caller of `save_state`, and the only writer of the state store.

use polyport_host::hook_thread::HookFault;
use polyport_host::hooks::Hook;

use super::hooks::HookCalls;
use super::instance::InstanceHandle;
use super::state_store::{SavedState, StateStore};
use polyport_common::tasks;

/// Why state was not saved.
#[derive(Debug)]
pub enum SaveError {
    /// `save_state` did not end well.
    Hook(HookFault),
    /// The file could not be written; the file before it stays.
    Write {
        /// Where.
        path: String,
        /// Why.
        error: String,
    },
}

/// Calls `save_state`, and writes the result to the store if there is one. Both have the time of a hook. `None` when
/// the instance has no state.
///
/// # Errors
/// See [`SaveError`].
pub async fn save_state(
    handle: &InstanceHandle,
    store: Option<StateStore>,
    calls: &mut HookCalls<'_>,
) -> Result<Option<SavedState>, SaveError> {
    let output = calls.call(handle, Hook::Save).await;
    let Some(bytes) = output.map_err(SaveError::Hook)?.saved else {
        return Ok(None);
    };
    let handler = handle.hook_thread.instance().handler();
    let (name, id) = (handle.name().to_owned(), handler.id.clone());
    let saved = SavedState {
        version: handler.state_version,
        bytes,
    };
    let Some(store) = store else {
        return Ok(Some(saved));
    };
    let path = store.path(&name).display().to_string();
    let writing = tasks::blocking(move || store.save(&name, &id, &saved).map(|()| saved));
    let error = match calls.bounded(writing).await {
        Some(Ok(Ok(saved))) => {
            let bytes = saved.bytes.len();
            tracing::info!(instance = handle.name(), bytes, "state saved");
            return Ok(Some(saved));
        }
        Some(Ok(Err(error))) => error.to_string(),
        Some(Err(error)) => error.to_string(),
        None => "the disk takes longer than the hook-timeout".to_owned(),
    };
    Err(SaveError::Write { path, error })
}
