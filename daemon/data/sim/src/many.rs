//! Many runs, on all processors.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Result, anyhow};

use crate::counts::Counts;
use crate::run::{Outcome, Setup, Thread};

/// What came of many runs.
#[derive(Debug, Default)]
pub struct Summary {
    /// Callbacks of all runs.
    pub callbacks: u64,
    /// Seeds with a violation, with it.
    pub violations: Vec<(u64, String)>,
    /// The hash of each seed, if asked for.
    pub hashes: Vec<(u64, u64)>,
    counts: Counts,
}

impl Summary {
    /// The table of what was done.
    #[must_use]
    pub fn table(&self) -> String {
        self.counts.to_string()
    }

    /// What can happen and has not.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        self.counts.missing()
    }

    fn add(&mut self, seed: u64, outcome: Outcome) {
        self.callbacks += outcome.callbacks;
        self.hashes.push((seed, outcome.hash));
        self.violations
            .extend(outcome.violation.map(|text| (seed, text)));
        self.counts.merge(&outcome.counts);
    }

    fn merge(&mut self, other: Self) {
        self.callbacks += other.callbacks;
        self.hashes.extend(other.hashes);
        self.violations.extend(other.violations);
        self.counts.merge(&other.counts);
    }
}

/// Runs seeds on so many threads; ends at the first violation if `hurry`.
///
/// # Errors
/// The system has no more threads or sockets.
pub fn run(seeds: Range<u64>, steps: u64, threads: usize, hurry: bool) -> Result<Summary> {
    let next = AtomicU64::new(seeds.start);
    let all = Mutex::new(Summary::default());
    let work = |number: usize| -> Result<()> {
        let mut thread = Thread::new(number)?;
        let mut summary = Summary::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let trace = false;
            let outcome = thread.run(Setup { seed, steps, trace })?;
            if hurry && outcome.violation.is_some() {
                next.store(seeds.end, Ordering::Relaxed);
            }
            summary.add(seed, outcome);
        }
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.merge(summary);
        Ok(())
    };
    let work = &work;
    std::thread::scope(|scope| {
        let threads = (0..threads).map(|number| scope.spawn(move || work(number)));
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| anyhow!("a thread has panicked"))?
        })
    })?;
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.hashes.sort_unstable();
    all.violations.sort();
    Ok(all)
}
