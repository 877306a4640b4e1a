//! A plan as lines: `+` added, `~` changed, `-` removed. Unchanged parts are counted only.

use polyport_api::Plan;
use polyport_api::plan::{
    InstanceAction, InstanceStep, ListenerAction, ListenerStep, PluginAction, PluginStep,
    ServiceAction, ServiceStep,
};

use super::count;

/// How a part changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    Added,
    Changed,
    Removed,
    Kept,
}

/// One step as text.
struct Line {
    mark: Mark,
    text: String,
}

/// The steps by part, and the number of each mark.
pub(super) fn plan(plan: &Plan) -> String {
    let parts = [
        ("plugins", lines(&plan.plugins, plugin)),
        ("instances", lines(&plan.instances, instance)),
        ("services", lines(&plan.services, service)),
        ("listeners", lines(&plan.listeners, listener)),
    ];
    let mut text = String::new();
    for (name, lines) in &parts {
        let shown: Vec<&Line> = lines
            .iter()
            .filter(|line| line.mark != Mark::Kept)
            .collect();
        if shown.is_empty() {
            continue;
        }
        text.push_str(name);
        text.push('\n');
        for line in shown {
            text.push_str(&format!("  {} {}\n", line.mark.sign(), line.text));
        }
    }
    if !plan.restart.is_empty() {
        text.push_str("waits for a restart\n");
    }
    for restart in &plan.restart {
        text.push_str(&format!("  ! {}: {}\n", restart.key, restart.why));
    }
    let all = || parts.iter().flat_map(|(_, lines)| lines);
    let sum = |mark| all().filter(|line| line.mark == mark).count();
    let (comes, changes, goes) = (sum(Mark::Added), sum(Mark::Changed), sum(Mark::Removed));
    let kept = sum(Mark::Kept);
    text + &format!("{comes} new, {changes} changed, {goes} gone, {kept} kept\n")
}

impl Mark {
    const fn sign(self) -> char {
        match self {
            Self::Added => '+',
            Self::Changed => '~',
            Self::Removed => '-',
            Self::Kept => '=',
        }
    }
}

fn lines<T>(steps: &[T], line: impl Fn(&T) -> Line) -> Vec<Line> {
    steps.iter().map(line).collect()
}

fn plugin(step: &PluginStep) -> Line {
    let (mark, what) = match step.action {
        PluginAction::Loaded => (Mark::Added, "loaded"),
        PluginAction::Unchanged => (Mark::Kept, "the same content"),
        PluginAction::Swapped => (Mark::Changed, "new code beside the old"),
        PluginAction::Retired => (Mark::Removed, "nothing uses it any more"),
    };
    let mut text = step.name.clone();
    if !step.version.is_empty() {
        text.push(' ');
        text.push_str(&step.version);
    }
    text.push_str(": ");
    text.push_str(what);
    if let Some(generation) = step.generation {
        text.push_str(&format!(", generation {generation}"));
    }
    text.push_str(&format!(" ({})", step.path));
    if let Some(note) = &step.note {
        text.push_str("; ");
        text.push_str(note);
    }
    Line { mark, text }
}

fn instance(step: &InstanceStep) -> Line {
    let (mark, what) = match step.action {
        InstanceAction::Added => (Mark::Added, "added"),
        InstanceAction::Kept => (Mark::Kept, "kept"),
        InstanceAction::Reconfigured => (Mark::Changed, "reconfigured while it serves"),
        InstanceAction::Replaced => (Mark::Changed, "replaced"),
        InstanceAction::Removed => (Mark::Removed, "removed"),
    };
    let mut text = format!("{} ({}): {what}", step.name, step.plugin);
    if let Some(why) = &step.why {
        text.push_str(", ");
        text.push_str(why);
    }
    text.push_str(&streams(step.streams, &step.fate));
    Line { mark, text }
}

fn service(step: &ServiceStep) -> Line {
    let (mark, what, fate) = match step.action {
        ServiceAction::Added => (Mark::Added, "added", ""),
        ServiceAction::Kept => (Mark::Kept, "kept", ""),
        ServiceAction::Changed => (Mark::Changed, "changed", ""),
        ServiceAction::Removed => (Mark::Removed, "removed", "drain"),
    };
    let mut text = format!("{}: {what}", step.name);
    text.push_str(&streams(step.streams, fate));
    for change in &step.changes {
        text.push_str("\n      ");
        text.push_str(change);
    }
    Line { mark, text }
}

fn listener(step: &ListenerStep) -> Line {
    let (mark, what) = match step.action {
        ListenerAction::Opened => (Mark::Added, "opened"),
        ListenerAction::Kept => (Mark::Kept, "kept"),
        ListenerAction::Moved => (Mark::Changed, "moved"),
        ListenerAction::Closed => (Mark::Removed, "closed"),
    };
    let mut text = format!("{} of {}: {what}", step.address, step.service);
    if let Some(from) = &step.from {
        text.push_str(" from ");
        text.push_str(from);
    }
    Line { mark, text }
}

/// `; 3 streams: migrate`, or empty for steps without an effect on streams.
fn streams(number: u64, fate: &str) -> String {
    if number == 0 || fate.is_empty() {
        return String::new();
    }
    format!("; {}: {fate}", count(number, "stream"))
}
