//! The result of a change.

use polyport_api::{Drained, Outcome, Verdict};

use super::plan::plan;
use super::{count, span};

/// The plan and the verdict; failures are in [`errors`].
#[must_use]
pub fn outcome(outcome: &Outcome) -> String {
    let mut text = outcome.plan.as_ref().map(plan).unwrap_or_default();
    if outcome.verdict.is_success() {
        text.push_str(&verdict(outcome));
    }
    if let Some(seconds) = outcome
        .confirm_within_seconds
        .filter(|_| outcome.verdict.is_success())
    {
        let left = span(seconds);
        text.push_str(&format!(
            "it is undone in {left} unless: polyportctl confirm\n"
        ));
    }
    text
}

/// The result of a drain.
#[must_use]
pub fn drained(drained: &Drained) -> String {
    let mut text = outcome(&drained.outcome);
    if drained.outcome.verdict.is_success() {
        let left = match drained.streams {
            0 => "no stream is left".to_owned(),
            some => format!("{} still there", count(some, "stream")),
        };
        text.push_str(&left);
        text.push('\n');
    }
    text
}

/// The faults of a configuration and the reason of a failure; empty on success without warnings.
#[must_use]
pub fn errors(outcome: &Outcome) -> String {
    let mut text = String::new();
    for fault in &outcome.faults {
        let word = if fault.error { "error" } else { "warning" };
        let colon = if fault.place.is_empty() { "" } else { ": " };
        text.push_str(&format!(
            "{}{colon}{word}: {}\n",
            fault.place, fault.message
        ));
        if !fault.help.is_empty() {
            text.push_str(&format!("  help: {}\n", fault.help));
        }
    }
    if !outcome.verdict.is_success() {
        text.push_str(&verdict(outcome));
    }
    text
}

/// `applied in 12 ms (change 5): one service changed`.
fn verdict(outcome: &Outcome) -> String {
    let mut text = match outcome.verdict {
        Verdict::Planned => "only planned".to_owned(),
        other => other.word().to_owned(),
    };
    if outcome.id != 0 {
        let Outcome {
            id, milliseconds, ..
        } = outcome;
        text.push_str(&format!(" in {milliseconds} ms (change {id})"));
    }
    if !outcome.reason.is_empty() {
        text.push_str(": ");
        text.push_str(&outcome.reason);
    }
    text.push('\n');
    text
}
