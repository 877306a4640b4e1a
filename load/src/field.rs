//! What all kinds of load share: the clock, the epoll set, the phases and the generations.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::generations::{Generations, Since};
use crate::message::Run;
use crate::options::Options;
use crate::poll::Poll;
use crate::tally::Tally;

/// So many troubles of this machine, and so many broken streams, are reported one by one.
const REPORTED_MAX: usize = 100;

/// What is shared by everything that loads.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) poll: Poll,
    pub(crate) run: Run,
    pub(crate) generations: Generations,
    pub(crate) phases: Vec<Phase>,
    pub(crate) breaks: Vec<Break>,
    pub(crate) troubles: Vec<String>,
    /// Read once a turn.
    pub(crate) now: Instant,
    pub(crate) begun: Instant,
    pub(crate) timeout: Duration,
    /// From then on nothing new begins.
    pub(crate) stopped_at: Option<Instant>,
}

/// A named part of the run.
#[derive(Debug)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) begun: Instant,
    pub(crate) tally: Tally,
}

/// The phase in which something began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhaseId(usize);

/// The context in which an attempt began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    pub(crate) phase: PhaseId,
    pub(crate) since: Since,
    pub(crate) at: Instant,
}

/// A long-lived stream that ended too early.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Break {
    /// Milliseconds after the start of the run.
    pub at_ms: u64,
    /// The phase in which it happened.
    pub phase: String,
    /// Which of the streams.
    pub stream: u32,
    /// What the end looked like.
    pub reason: String,
    /// Pings that were not answered any more.
    pub unanswered: u64,
}

impl Field {
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let now = Instant::now();
        Ok(Self {
            poll: Poll::new()?,
            run: Run::new(options.reply),
            generations: Generations::default(),
            phases: Vec::new(),
            breaks: Vec::new(),
            troubles: Vec::new(),
            now,
            begun: now,
            timeout: options.timeout,
            stopped_at: None,
        })
    }

    /// The run begins now.
    pub(crate) fn start(&mut self) {
        self.now = Instant::now();
        self.begun = self.now;
        self.mark("start");
    }

    /// No attempt begins from now on.
    pub(crate) fn stop(&mut self) {
        self.stopped_at.get_or_insert_with(Instant::now);
    }

    /// Only attempts in flight go on.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopped_at.is_some()
    }

    /// A new phase begins.
    pub(crate) fn mark(&mut self, name: &str) {
        self.phases.push(Phase {
            name: name.to_owned(),
            begun: Instant::now(),
            tally: Tally::default(),
        });
    }

    /// The context of an attempt that begins now.
    pub(crate) fn begin(&self) -> Begin {
        Begin {
            phase: self.phase(),
            since: self.generations.since(),
            at: self.now,
        }
    }

    pub(crate) fn phase(&self) -> PhaseId {
        PhaseId(self.phases.len().saturating_sub(1))
    }

    /// Counts in the phase.
    pub(crate) fn count(&mut self, phase: PhaseId, count: impl FnOnce(&mut Tally)) {
        if let Some(phase) = self.phases.get_mut(phase.0) {
            count(&mut phase.tally);
        }
    }

    /// Returns whether an attempt that began then has timed out.
    pub(crate) fn is_late(&self, begin: Begin) -> bool {
        self.now.saturating_duration_since(begin.at) >= self.timeout
    }

    /// Records a trouble of this machine, once.
    pub(crate) fn trouble(&mut self, what: &str, fault: &dyn std::error::Error) {
        let line = format!("{what}: {fault}");
        if self.troubles.len() < REPORTED_MAX && !self.troubles.contains(&line) {
            self.troubles.push(line);
        }
    }

    /// A long-lived stream ended.
    pub(crate) fn broke(&mut self, stream: u32, reason: &str, unanswered: u64) {
        let phase = self.phase();
        self.count(phase, |tally| tally.streams.broken += 1);
        if self.breaks.len() >= REPORTED_MAX {
            return;
        }
        let after = self.now.saturating_duration_since(self.begun);
        let name = self.phases.last().map_or("", |phase| &phase.name);
        self.breaks.push(Break {
            at_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            phase: name.to_owned(),
            stream,
            reason: reason.to_owned(),
            unanswered,
        });
    }
}
