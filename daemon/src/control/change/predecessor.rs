//! What a start owes to a process of the daemon that is to hand over to it: to wait until its state is at rest, and
//! until it accepts and receives nothing any more.

use super::{Change, ChangeFault};

impl Change<'_> {
    /// Waits until nothing of the predecessor's changes state any more.
    pub(super) async fn meet(&self) -> Result<(), ChangeFault> {
        let Some(predecessor) = self.life.predecessor.as_ref().filter(|one| one.serves()) else {
            return Ok(());
        };
        let rests = predecessor.put_to_rest().await;
        let Some(rests) = rests.map_err(ChangeFault::Predecessor)? else {
            return self.go_on();
        };
        let directory = self.config.daemon.state_directory.as_ref();
        let reads = directory.map(|directory| directory.display().to_string());
        if reads.as_ref() != Some(&rests) {
            let reads = reads.unwrap_or_else(|| "none".to_owned());
            return Err(ChangeFault::Predecessor(format!(
                "the state is in {rests}, and daemon.state-directory is {reads} now: set it back, or move the files and \
                 restart"
            )));
        }
        self.go_on()
    }

    /// Waits until the predecessor accepts and receives nothing.
    pub(super) async fn may_serve(&self) -> Result<(), ChangeFault> {
        self.go_on()?;
        match self.life.predecessor.as_ref().filter(|one| one.serves()) {
            Some(predecessor) => predecessor
                .let_serve()
                .await
                .map_err(ChangeFault::Predecessor),
            None => Ok(()),
        }
    }
}
