//! The past changes: how many ended how, the last one, and the last failure.

use std::time::Instant;

use polyport_api::status::{Changes, LastChange};
use polyport_api::{Outcome, Verdict};

/// See the module's text.
#[derive(Debug, Default)]
pub struct History {
    begun: u64,
    counts: Changes,
    last: Option<PastChange>,
    last_failure: Option<PastChange>,
}

#[derive(Debug, Clone)]
struct PastChange {
    outcome: Outcome,
    asked_by: String,
    at: Instant,
}

impl PastChange {
    fn view(&self) -> LastChange {
        LastChange::new(&self.outcome, &self.asked_by, self.at.elapsed().as_secs())
    }
}

impl History {
    /// The number of a change that begins.
    pub fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// Records the end of a change.
    pub fn note(&mut self, outcome: &Outcome, asked_by: &str) {
        let past = PastChange {
            // Plans and faults can be long, and are not kept.
            outcome: Outcome {
                plan: None,
                faults: Vec::new(),
                ..outcome.clone()
            },
            asked_by: asked_by.to_owned(),
            at: Instant::now(),
        };
        match outcome.verdict {
            Verdict::Applied => self.counts.applied += 1,
            Verdict::Unchanged => self.counts.unchanged += 1,
            Verdict::Failed => {
                self.counts.failed += 1;
                self.last_failure = Some(past.clone());
            }
            Verdict::Planned | Verdict::Refused => return,
        }
        self.last = Some(past);
    }

    /// Records that the daemon itself withdrew code.
    pub fn note_rollback(&mut self) {
        self.counts.rolled_back += 1;
    }

    /// How many changes ended how.
    pub fn counts(&self) -> &Changes {
        &self.counts
    }

    /// The last change.
    pub fn last(&self) -> Option<LastChange> {
        self.last.as_ref().map(PastChange::view)
    }

    /// The last change that failed.
    pub fn last_failure(&self) -> Option<LastChange> {
        self.last_failure.as_ref().map(PastChange::view)
    }
}
