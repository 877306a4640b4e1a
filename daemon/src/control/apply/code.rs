//! Loading: each plugin file whose bytes are not in this process yet becomes a generation.

use std::sync::Arc;

use polyport_host::generation::load;
use polyport_host::services::host_table;

use super::{ApplyError, Transaction};
use crate::control::running::{FileSource, PluginFile};
use polyport_common::tasks;

impl Transaction<'_> {
    /// Loads staged files.
    pub(super) async fn load(&mut self, files: Vec<PluginFile>) -> Result<(), ApplyError> {
        for mut file in files {
            self.check_interrupt()?;
            let staged = match file.source {
                FileSource::Loaded(ref generation) => {
                    let generation = Arc::clone(generation);
                    self.files.push((file, generation));
                    continue;
                }
                FileSource::Staged(staged) => *staged,
            };
            let code = &self.context.inventory.code;
            let number = code.borrow_mut().next_number();
            let loading = tasks::blocking(move || load(staged, number, host_table())).await;
            let loaded = loading.map_err(|error| ApplyError::system("loader")(error.into()))?;
            let generation = loaded?;
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
            self.files.push((file, generation));
        }
        Ok(())
    }
}
