//! The trial of new code: within its first minute, panics and failed health hooks are counted; more than the
//! configured number, and the generation before serves again.

use std::sync::Arc;
use std::time::Instant;

use polyport_config::Rollback;
use polyport_host::generation::Generation;

use crate::control::running::state::RunningState;

/// A generation on trial.
#[derive(Debug)]
pub struct Canary {
    /// The new code.
    generation: Arc<Generation>,
    /// When it began to serve.
    begun: Instant,
    /// When it has passed.
    until: Instant,
    /// It may fail so often.
    failures: u64,
}

/// How a trial stands.
#[derive(Debug, PartialEq, Eq)]
pub enum CanaryVerdict {
    /// It goes on.
    OpenListener,
    /// It is over, and the code serves on.
    Passed,
    /// The code is to be withdrawn.
    Failed(String),
}

impl Canary {
    /// Begins now.
    #[must_use]
    pub fn new(generation: Arc<Generation>, terms: &Rollback) -> Self {
        Self {
            generation,
            until: Instant::now() + terms.window,
            failures: u64::from(terms.failures),
            begun: Instant::now(),
        }
    }

    /// Whose it is.
    #[must_use]
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// Looks at the instances that serve from it.
    #[must_use]
    pub fn look(&self, state: &RunningState) -> CanaryVerdict {
        let of_it = |handle: &&Arc<crate::control::running::state::InstanceHandle>| {
            Arc::ptr_eq(handle.hook_thread.instance().generation(), &self.generation)
        };
        let mut instances = state.instances.iter().filter(of_it).peekable();
        if instances.peek().is_none() {
            return CanaryVerdict::Passed;
        }
        let (mut panics, mut unhealthy) = (0, 0);
        for handle in instances {
            panics += handle.hook_thread.instance().panics();
            unhealthy += handle.health.failures();
        }
        if panics + unhealthy > self.failures {
            return CanaryVerdict::Failed(format!(
                "{panics} panics and {unhealthy} failures of its health hook in its first {} s; {} were allowed",
                self.begun.elapsed().as_secs(),
                self.failures
            ));
        }
        if Instant::now() >= self.until {
            CanaryVerdict::Passed
        } else {
            CanaryVerdict::OpenListener
        }
    }
}
