//! What a server process has used: CPU time and memory, read from outside, and the window of
//! time in which a load reads them.
//!
//! CPU time comes from the process's own CPU clock (`clock_getcpuclockid`): nanoseconds, all
//! threads, those that ended too, exact at the moment of reading. `/proc/PID/stat` counts in
//! ticks of 10 ms and `/proc/PID/task/*/schedstat` forgets ended threads and lags by up to a
//! tick, so they serve only for the share of user mode, which no finer clock counts.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A load that sees no reply for so long gives up.
const STALL: Duration = Duration::from_secs(5);

/// What one run of a load found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Replies that came back and were right.
    pub(crate) operations: u64,
    /// Datagrams that never came back.
    pub(crate) lost: u64,
    /// Length of the window.
    pub(crate) wall_us: f64,
    /// CPU time of the server in the window, user and system.
    pub(crate) cpu_us: f64,
    /// The part of it in user mode; coarse, because the kernel samples it by ticks.
    pub(crate) user_us: f64,
    /// Growth of anonymous memory for each idle stream.
    pub(crate) bytes_per_stream: f64,
    /// Median latency.
    pub(crate) p50_us: f64,
    /// 99th percentile of latency.
    pub(crate) p99_us: f64,
}

/// The window of a run: warm up, measure, stop.
#[derive(Debug)]
pub(crate) struct Window {
    server: Pid,
    clock: ClockId,
    opens: Instant,
    closes: Instant,
    opened: Option<Mark>,
    last_progress: (u64, Instant),
}

/// What a window wants next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Keep the load up.
    Continue,
    /// The window closed, with this outcome.
    Done(Outcome),
}

#[derive(Debug)]
struct Mark {
    at: Instant,
    operations: u64,
    cpu: Duration,
    ticks: Ticks,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    user: f64,
    system: f64,
}

impl Window {
    /// A window on `server` that opens after `warmup` and closes `length` later.
    pub(crate) fn new(server: Pid, warmup: Duration, length: Duration) -> Result<Self> {
        let now = Instant::now();
        let clock = clock_getcpuclockid(server).context("the server has no CPU clock")?;
        let (opens, closes) = (now + warmup, now + warmup + length);
        Ok(Self {
            server,
            clock,
            opens,
            closes,
            opened: None,
            last_progress: (0, now),
        })
    }

    /// To be called once for each batch of events, with the operations done so far.
    pub(crate) fn turn(&mut self, operations: u64) -> Result<Turn> {
        let now = Instant::now();
        if operations > self.last_progress.0 {
            self.last_progress = (operations, now);
        } else if now - self.last_progress.1 > STALL {
            bail!(
                "no reply for {} s after {operations} operations",
                STALL.as_secs()
            );
        }
        match &self.opened {
            None if now >= self.opens => self.opened = Some(self.mark(now, operations)?),
            Some(opened) if now >= self.closes => {
                return Ok(Turn::Done(opened.until(&self.mark(now, operations)?)));
            }
            _ => {}
        }
        Ok(Turn::Continue)
    }

    fn mark(&self, at: Instant, operations: u64) -> Result<Mark> {
        let cpu = clock_gettime(self.clock)
            .context("the server is gone")?
            .into();
        Ok(Mark {
            at,
            operations,
            cpu,
            ticks: ticks(self.server)?,
        })
    }
}

impl Mark {
    fn until(&self, end: &Self) -> Outcome {
        let cpu_us = micros(end.cpu.saturating_sub(self.cpu));
        let user = end.ticks.user - self.ticks.user;
        let system = end.ticks.system - self.ticks.system;
        Outcome {
            operations: end.operations - self.operations,
            wall_us: micros(end.at - self.at),
            cpu_us,
            user_us: cpu_us * user / (user + system).max(1.0),
            ..Outcome::default()
        }
    }
}

/// Anonymous memory of a process in bytes: what it wrote itself, without file pages and without
/// what the kernel keeps for its sockets. `smaps_rollup` walks the pages and is exact; the
/// counters of `status` may lag.
pub(crate) fn anonymous_bytes(process: Pid) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
    let (text, key) = match rollup {
        Ok(text) => (text, "Anonymous:"),
        Err(_) => (
            fs::read_to_string(format!("/proc/{process}/status"))?,
            "RssAnon:",
        ),
    };
    kibibytes(&text, key)
        .map(|kib| kib * 1024)
        .with_context(|| format!("no {key} in /proc"))
}

fn kibibytes(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

fn ticks(process: Pid) -> Result<Ticks> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).context("the server is gone")?;
    parse_ticks(&text).context("/proc/PID/stat has an unknown form")
}

/// The name in the second field may hold spaces and brackets, so counting starts behind it.
fn parse_ticks(stat: &str) -> Option<Ticks> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let user = times.next()?.parse().ok()?;
    let system = times.next()?.parse().ok()?;
    Some(Ticks { user, system })
}

fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_behind_a_hostile_name() {
        let stat = "7 (a) b 9) S 1 7 7 0 -1 0 5 0 0 0 321 654 0 0 20 0 1";
        assert_eq!(
            parse_ticks(stat),
            Some(Ticks {
                user: 321.0,
                system: 654.0
            })
        );
        assert_eq!(parse_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn memory_is_read_by_key() {
        assert_eq!(
            kibibytes("Rss:  9 kB\nAnonymous:      128 kB\n", "Anonymous:"),
            Some(128)
        );
        assert_eq!(kibibytes("Rss:  9 kB\n", "Anonymous:"), None);
        assert!(anonymous_bytes(Pid::this()).unwrap() > 0);
    }

    #[test]
    fn a_window_counts_only_what_lies_inside() {
        let mut window = Window::new(Pid::this(), Duration::ZERO, Duration::ZERO).unwrap();
        assert!(matches!(window.turn(10).unwrap(), Turn::Continue));
        let Turn::Done(outcome) = window.turn(15).unwrap() else {
            panic!("still open")
        };
        assert_eq!(outcome.operations, 5);
    }
}
