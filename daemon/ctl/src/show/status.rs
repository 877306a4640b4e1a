//! The status of the daemon.

use polyport_api::Status;
use polyport_api::status::{LastChange, State};

use super::{count, span};

/// One line for each fact.
#[must_use]
pub fn status(status: &Status) -> String {
    let mut lines = vec![format!(
        "polyportd {}, pid {}: {}, up for {}",
        status.version,
        status.pid,
        state(status.state),
        span(status.uptime_seconds)
    )];
    let mut line = |name: &str, value: &str| lines.push(format!("{name:<14} {value}"));
    line("configuration", &status.config);
    let workers = count(status.workers.into(), "worker");
    line("streams", &format!("{} on {workers}", status.streams));
    let changes = &status.changes;
    let text = format!(
        "{} applied, {} unchanged, {} failed, {} rolled back",
        changes.applied, changes.unchanged, changes.failed, changes.rolled_back
    );
    line("changes", &text);
    if let Some(change) = &status.last_change {
        line("last change", &ended(change));
    }
    // The last change may be the last failure; then it is shown once.
    let is_other = |of: &&LastChange| status.last_change.as_ref() != Some(of);
    if let Some(change) = status.last_failure.as_ref().filter(is_other) {
        line("last failure", &ended(change));
    }
    if let Some(seconds) = status.confirm_within_seconds {
        let left = span(seconds);
        line(
            "to confirm",
            &format!("within {left}, or the last reload is undone: polyportctl confirm"),
        );
    }
    if !status.drained.is_empty() {
        let names = status.drained.join(", ");
        line(
            "drained",
            &format!("{names}; the next reload brings them back"),
        );
    }
    for warning in &status.warnings {
        line("warning", warning);
    }
    lines.join("\n") + "\n"
}

fn state(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Reloading => "reloading",
        State::Draining => "draining",
    }
}

/// `#5 applied 3m ago, asked by SIGHUP: 2 services changed`.
fn ended(change: &LastChange) -> String {
    let colon = if change.reason.is_empty() { "" } else { ": " };
    format!(
        "#{} {} {} ago, asked by {}{colon}{}",
        change.id,
        change.verdict.word(),
        span(change.seconds_ago),
        change.asked_by,
        change.reason
    )
}
