//! A new snapshot: what this worker serves is compared with what it is to serve, between two callbacks.

use std::sync::Arc;

use super::Engine;
use crate::data::snapshot::Snapshot;

impl Engine {
    pub(super) fn take_snapshot(&self, snapshot: Arc<Snapshot>) {
        if self.phase.get().is_some() {
            // What is there ends; nothing begins any more.
            return;
        }
        self.swap_listeners(&snapshot.listeners);
        self.swap_sockets(&snapshot.sockets);
        self.snapshot.replace(Some(snapshot));
    }
}
