//! The report: for people a section for each phase, for scripts one object.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use crate::field::{Break, Field};
use crate::options::Options;
use crate::tally::{Tally, worded};

/// So many broken streams are listed in the text.
const BREAKS_SHOWN: usize = 10;

/// What a run counted.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing went wrong, and something was measured.
    pub clean: bool,
    /// How long it loaded the server, without the wait for the last answers.
    pub seconds: f64,
    /// What went wrong, a line each.
    pub faults: Vec<String>,
    /// All phases together.
    pub total: Tally,
    /// Each phase by itself.
    pub phases: Vec<PhaseReport>,
    /// Long-lived streams that broke, one by one: the first hundred.
    pub breaks: Vec<Break>,
    /// What this machine could not do, each once.
    pub troubles: Vec<String>,
    /// The receive buffer of a source of datagrams as the kernel counts it: twice the usable size.
    pub receive_buffer_bytes: Option<usize>,
}

/// What a phase counted: all that began in it.
#[derive(Clone, Debug, Serialize)]
pub struct PhaseReport {
    /// Its name, from `mark`; the first is `start`.
    pub name: String,
    /// From its begin to that of the next phase.
    pub seconds: f64,
    /// Its counts.
    pub tally: Tally,
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        field: Field,
        receive_buffer_bytes: Option<usize>,
    ) -> Self {
        let end = field.stopped_at.unwrap_or_else(Instant::now);
        let ends = field.phases.iter().skip(1).map(|next| next.begun);
        let ends: Vec<Instant> = ends.chain([end]).collect();
        let mut total = Tally::default();
        let mut phases = Vec::new();
        for (phase, end) in field.phases.into_iter().zip(ends) {
            total += phase.tally;
            phases.push(PhaseReport {
                name: phase.name,
                seconds: end.saturating_duration_since(phase.begun).as_secs_f64(),
                tally: phase.tally,
            });
        }
        let mut faults = total.faults(options.allow_lost);
        faults.extend(unmeasured(options, &total));
        Self {
            clean: faults.is_empty(),
            seconds: end.saturating_duration_since(field.begun).as_secs_f64(),
            faults,
            total,
            phases,
            breaks: field.breaks,
            troubles: field.troubles,
            receive_buffer_bytes,
        }
    }

    /// What a process ends with: 0 for a clean run, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(!self.clean)
    }
}

/// A run in which nothing was answered proves nothing.
fn unmeasured(options: &Options, total: &Tally) -> Vec<String> {
    let kinds = [
        (
            options.has_streams() && options.connect > 0,
            total.connects.ok,
            "client",
        ),
        (
            options.has_streams() && options.hold > 0,
            total.pings.answered,
            "ping",
        ),
        (
            !options.udp.is_empty() && options.rate > 0,
            total.datagrams.answered,
            "datagram",
        ),
    ];
    let idle = kinds
        .into_iter()
        .filter(|(is_wanted, count, _)| *is_wanted && *count == 0);
    idle.map(|(_, _, kind)| format!("no {kind} was answered as it should"))
        .collect()
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [_, _, ..] = self.phases.as_slice() {
            for phase in &self.phases {
                writeln!(out, "phase {}, {:.1} s", phase.name, phase.seconds)?;
                section(out, &phase.tally, phase.seconds)?;
            }
        }
        writeln!(out, "total, {:.1} s", self.seconds)?;
        section(out, &self.total, self.seconds)?;
        if let Some(bytes) = self.receive_buffer_bytes {
            writeln!(out, "receive buffer of each source: {bytes} bytes granted")?;
        }
        for each in self.breaks.iter().take(BREAKS_SHOWN) {
            writeln!(
                out,
                "stream {} broke after {} ms, in {}: {}; {} pings unanswered",
                each.stream, each.at_ms, each.phase, each.reason, each.unanswered
            )?;
        }
        if self.breaks.len() > BREAKS_SHOWN {
            writeln!(out, "and so on: --json tells more of them")?;
        }
        for trouble in &self.troubles {
            writeln!(out, "trouble of this machine: {trouble}")?;
        }
        for fault in &self.faults {
            writeln!(out, "FAULT: {fault}")?;
        }
        if self.clean {
            writeln!(out, "clean")?;
        }
        Ok(())
    }
}

/// A row for each kind in use: attempts and successes, then every number that is not 0.
fn section(out: &mut fmt::Formatter<'_>, tally: &Tally, seconds: f64) -> fmt::Result {
    let slowest = tally.slowest;
    let rows = [
        ("connects", tally.connects.named(), slowest.connect_us),
        ("streams", tally.streams.named(), 0),
        ("pings", tally.pings.named(), slowest.ping_us),
        ("datagrams", tally.datagrams.named(), slowest.datagram_us),
    ];
    for (kind, numbers, slowest_us) in rows {
        if numbers.iter().all(|(_, count)| *count == 0) {
            continue;
        }
        let mut words = Vec::new();
        for (at, (name, count)) in numbers.iter().enumerate() {
            // The first two are the attempts and those that went well.
            if at < 2 || *count > 0 {
                words.push(format!("{count} {}", worded(name)));
            }
        }
        write!(out, "  {kind:<10} {}", words.join(", "))?;
        if slowest_us > 0 {
            let attempts = numbers.first().map_or(0, |(_, count)| *count);
            write!(
                out,
                " ({:.0}/s, slowest {:.1} ms)",
                attempts as f64 / seconds.max(0.001),
                slowest_us as f64 / 1000.0
            )?;
        }
        writeln!(out)?;
    }
    Ok(())
}
