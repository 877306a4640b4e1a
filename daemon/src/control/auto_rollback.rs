//! Automatic rollback: of new code that fails as a [`Canary`], and of a reload that is not confirmed in time
//! ([`Confirmation`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use polyport_config::Rollback;
use polyport_host::generation::Generation;

use super::desired::DesiredState;
use super::running::RunningState;

/// A new generation that is observed: panics and failures of its health hook are counted, and too many of them let the
/// previous generation serve again.
#[derive(Debug)]
pub struct Canary {
    /// The new code.
    pub generation: Arc<Generation>,
    begun: Instant,
    until: Instant,
    /// Number of failures that are tolerated.
    failures_max: u64,
}

/// The present result of a canary.
#[derive(Debug, PartialEq, Eq)]
pub enum CanaryVerdict {
    /// The observation goes on.
    Open,
    /// The observation is over.
    Passed,
    /// The code is to be withdrawn, for this reason.
    Failed(String),
}

impl Canary {
    /// Begins now.
    pub fn new(generation: Arc<Generation>, config: &Rollback) -> Self {
        let begun = Instant::now();
        Self {
            generation,
            begun,
            until: begun + config.window,
            failures_max: u64::from(config.failures),
        }
    }

    /// Counts the failures of the instances that run this code.
    pub fn verdict(&self, state: &RunningState) -> CanaryVerdict {
        let instances = state.instances.iter();
        let mut instances = instances
            .filter(|one| one.runs(&self.generation))
            .peekable();
        if instances.peek().is_none() {
            return CanaryVerdict::Passed;
        }
        let (mut panics, mut unhealthy) = (0, 0);
        for handle in instances {
            panics += handle.hook_thread.instance().panics();
            unhealthy += handle.health.failures();
        }
        if panics + unhealthy > self.failures_max {
            return CanaryVerdict::Failed(format!(
                "{panics} panics and {unhealthy} failures of its health hook in its first {} s; {} were allowed",
                self.begun.elapsed().as_secs(),
                self.failures_max
            ));
        }
        if Instant::now() >= self.until {
            CanaryVerdict::Passed
        } else {
            CanaryVerdict::Open
        }
    }
}

/// A reload that is undone unless it is confirmed in time.
#[derive(Debug)]
pub struct Confirmation {
    until: Instant,
    /// What ran before.
    pub previous: DesiredState,
    /// What was out of service then.
    pub drained: Vec<String>,
}

impl Confirmation {
    /// Begins now.
    pub fn new(within: Duration, previous: DesiredState, drained: Vec<String>) -> Self {
        Self {
            until: Instant::now() + within,
            previous,
            drained,
        }
    }

    /// Returns whether the time is over.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Time left, in seconds.
    pub fn seconds_left(&self) -> u64 {
        let left = self.until.saturating_duration_since(Instant::now());
        left.as_secs()
    }
}
