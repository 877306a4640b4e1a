//! What a start owes to a process of the daemon that is to hand over to it: to wait until its state is at rest, and
//! until it accepts and receives nothing any more.

use crate::control::apply::{ApplyError, Change};

impl Change<'_> {
    /// Waits until nothing of the predecessor's changes state any more.
    pub(super) async fn meet(&self) -> Result<(), ApplyError> {
        let Some(old_process) = self.life.old_process.as_ref().filter(|one| one.serves()) else {
            return Ok(());
        };
        let rests = old_process.persist_state().await;
        let Some(rests) = rests.map_err(ApplyError::OldProcess)? else {
            return self.go_on();
        };
        let directory = self.config.daemon.state_directory.as_ref();
        let reads = directory.map(|directory| directory.display().to_string());
        if reads.as_ref() != Some(&rests) {
            let reads = reads.unwrap_or_else(|| "none".to_owned());
            return Err(ApplyError::OldProcess(format!(
                "the state is in {rests}, and daemon.state-directory is {reads} now: set it back, or move the files and \
                 restart"
            )));
        }
        self.go_on()
    }

    /// Waits until the predecessor accepts and receives nothing.
    pub(super) async fn may_serve(&self) -> Result<(), ApplyError> {
        self.go_on()?;
        match self.life.old_process.as_ref().filter(|one| one.serves()) {
            Some(old_process) => old_process
                .let_serve()
                .await
                .map_err(ApplyError::OldProcess),
            None => Ok(()),
        }
    }
}
