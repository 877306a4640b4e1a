//! Which processor runs what: the servers on the first ones, the load on the last. All servers
//! are treated alike, and a machine with one processor is left as it is.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Processors of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pinning {
    /// What the bench itself had at first.
    all: Vec<usize>,
    servers: Vec<usize>,
    load: Vec<usize>,
}

/// Whose processors to take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// A server that is measured.
    Server,
    /// The load generator.
    Load,
}

impl Pinning {
    /// Divides the processors that this process may use.
    pub(crate) fn plan(workers: u16) -> Result<Self> {
        let set = sched_getaffinity(Pid::this()).context("cannot read the processor set")?;
        let all = (0..CpuSet::count())
            .filter(|cpu| set.is_set(*cpu).unwrap_or(false))
            .collect();
        Ok(Self::divide(all, workers))
    }

    fn divide(all: Vec<usize>, workers: u16) -> Self {
        let for_servers = usize::from(workers).min(all.len().saturating_sub(1));
        let (servers, rest) = all.split_at(for_servers);
        let load: Vec<usize> = rest.iter().rev().take(1).copied().collect();
        let (servers, load) = if all.len() < 2 {
            (all.clone(), all.clone())
        } else {
            (servers.to_vec(), load)
        };
        Self { all, servers, load }
    }

    /// Runs `start` on the processors of `side`: a child inherits the set of the thread that
    /// starts it, so it never runs anywhere else, not even for its first instructions.
    pub(crate) fn within<T>(&self, side: Side, start: impl FnOnce() -> Result<T>) -> Result<T> {
        apply(match side {
            Side::Server => &self.servers,
            Side::Load => &self.load,
        })?;
        let started = start();
        apply(&self.all)?;
        started
    }

    /// One line for the head of the report.
    pub(crate) fn describe(&self) -> String {
        if self.all.len() < 2 {
            return "one processor, nothing pinned: ratios are of little worth".to_owned();
        }
        format!(
            "server on cpu {:?}, load on cpu {:?}",
            self.servers, self.load
        )
    }
}

fn apply(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu).context("a processor number is too large")?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).context("cannot set the processor set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_and_servers_never_share_when_there_are_two() {
        let two = Pinning::divide(vec![0, 1], 1);
        assert_eq!((two.servers, two.load), (vec![0], vec![1]));
        let four = Pinning::divide(vec![0, 1, 2, 3], 9);
        assert_eq!((four.servers, four.load), (vec![0, 1, 2], vec![3]));
    }

    #[test]
    fn one_processor_is_shared() {
        let one = Pinning::divide(vec![5], 1);
        assert_eq!((one.servers, one.load), (vec![5], vec![5]));
    }
}
