//! Code: each plugin file whose bytes are not in this process yet becomes a generation.

use std::sync::Arc;

use polyport_host::generation::load;
use polyport_host::services::host_table;

use crate::control::apply::{ApplyError, Change};
use crate::control::desired::{File, Source};
use polyport_common::tasks;

impl Change<'_> {
    /// Loads what is not loaded.
    pub(super) async fn load(&mut self, files: Vec<File>) -> Result<(), ApplyError> {
        for file in files {
            self.go_on()?;
            let staged = match file.source {
                Source::Loaded(generation) => {
                    let source = Source::Loaded(Arc::clone(&generation));
                    self.files.push((File { source, ..file }, generation));
                    continue;
                }
                Source::Staged(staged) => *staged,
            };
            let number = self.life.code.borrow_mut().next_number();
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
            self.life
                .code
                .borrow_mut()
                .add(Arc::clone(&generation), report);
            let source = Source::Loaded(Arc::clone(&generation));
            self.files.push((File { source, ..file }, generation));
        }
        Ok(())
    }
}
