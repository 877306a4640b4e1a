//! What became of the changes so far.

use std::time::Instant;

use polyport_api::status::{Changes, LastChange};
use polyport_api::{Outcome, Verdict};

/// See the module's text.
#[derive(Debug, Default)]
pub struct History {
    begun: u64,
    counts: Changes,
    last: Option<Told>,
    last_failure: Option<Told>,
}

/// One change that has ended.
#[derive(Debug, Clone)]
struct Told {
    outcome: Outcome,
    asked_by: String,
    at: Instant,
}

impl Told {
    fn shown(&self) -> LastChange {
        LastChange::new(&self.outcome, &self.asked_by, self.at.elapsed().as_secs())
    }
}

impl History {
    /// The number of a change that begins.
    pub fn begin(&mut self) -> u64 {
        self.begun += 1;
        self.begun
    }

    /// One has ended.
    pub fn note(&mut self, outcome: &Outcome, asked_by: &str) {
        let log_hook_result = Told {
            // What it would say of each part is not kept.
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
                self.last_failure = Some(log_hook_result.clone());
            }
            Verdict::Planned | Verdict::Refused => return,
        }
        self.last = Some(log_hook_result);
    }

    /// The daemon itself went back to the code before.
    pub fn note_rollback(&mut self) {
        self.counts.rolled_back += 1;
    }

    /// How often changes ended how.
    #[must_use]
    pub fn counts(&self) -> &Changes {
        &self.counts
    }

    /// The last one.
    #[must_use]
    pub fn last(&self) -> Option<LastChange> {
        self.last.as_ref().map(Told::shown)
    }

    /// The last one that failed.
    #[must_use]
    pub fn last_failure(&self) -> Option<LastChange> {
        self.last_failure.as_ref().map(Told::shown)
    }
}
