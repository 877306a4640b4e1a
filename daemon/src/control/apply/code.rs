//! Loading: each plugin file whose bytes are not in this process yet becomes a generation.

use std::sync::Arc;

use polyport_host::generation::{Generation, load as load_code};
use polyport_host::services::host_table;

use super::{ApplyError, Transaction};
use crate::control::running::{FileSource, PluginFile};
use polyport_common::tasks;

/// Loads staged files; returns all files with their generations.
pub(super) async fn load(
    transaction: &Transaction<'_>,
    files: Vec<PluginFile>,
) -> Result<Vec<(PluginFile, Arc<Generation>)>, ApplyError> {
    let mut loaded = Vec::new();
    for mut file in files {
        transaction.check_interrupt()?;
        let staged = match file.source {
            FileSource::Loaded(ref generation) => {
                let generation = Arc::clone(generation);
                loaded.push((file, generation));
                continue;
            }
            FileSource::Staged(staged) => *staged,
        };
        let code = &transaction.context.inventory.code;
        let number = code.borrow_mut().next_number();
        let loading = tasks::blocking(move || load_code(staged, number, host_table())).await;
        let generation = loading.map_err(|error| ApplyError::system("loader")(error.into()))??;
        tracing::info!(
            plugin = generation.name,
            generation = generation.number,
            id = generation.id,
            version = generation.version,
            path = %generation.path.display(),
            digest = %generation.digest,
            "plugin loaded"
        );
        let report = Arc::clone(&file.report);
        code.borrow_mut().add(Arc::clone(&generation), report);
        file.source = FileSource::Loaded(Arc::clone(&generation));
        loaded.push((file, generation));
    }
    Ok(loaded)
}
