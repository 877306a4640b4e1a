//! The trial of new code: within its first minute, panics and failed health hooks are counted; more than the
//! configured number, and the generation before serves again.

use std::sync::Arc;
use std::time::Instant;

use polyport_config::Rollback;
use polyport_host::generation::Generation;

use super::world::World;

/// A generation on trial.
#[derive(Debug)]
pub struct Trial {
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
pub enum Standing {
    /// It goes on.
    Open,
    /// It is over, and the code serves on.
    Passed,
    /// The code is to be withdrawn.
    Failed(String),
}

impl Trial {
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
    pub fn look(&self, world: &World) -> Standing {
        let of_it = |held: &&Arc<super::world::Held>| {
            Arc::ptr_eq(held.hook_thread.instance().generation(), &self.generation)
        };
        let mut instances = world.instances.iter().filter(of_it).peekable();
        if instances.peek().is_none() {
            return Standing::Passed;
        }
        let (mut panics, mut unhealthy) = (0, 0);
        for held in instances {
            panics += held.hook_thread.instance().panics();
            unhealthy += held.health.failures();
        }
        if panics + unhealthy > self.failures {
            return Standing::Failed(format!(
                "{panics} panics and {unhealthy} failures of its health hook in its first {} s; {} were allowed",
                self.begun.elapsed().as_secs(),
                self.failures
            ));
        }
        if Instant::now() >= self.until {
            Standing::Passed
        } else {
            Standing::Open
        }
    }
}
