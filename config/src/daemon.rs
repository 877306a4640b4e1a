//! The `daemon:` section: threads, directories and deadlines of the process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::document::Environment;
use crate::node::Node;
use crate::reference;
use crate::table::{Findings, Table};
use crate::units::duration_text;

/// The settings of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// The number of data-plane threads.
    pub workers: Workers,
    /// The search path of plugins; the first match wins.
    pub plugin_path: Vec<PathBuf>,
    /// The directory of saved state; `None` when neither the file nor `$STATE_DIRECTORY` names one.
    pub state_directory: Option<PathBuf>,
    /// How long streams may take to end by themselves.
    pub drain_timeout: Duration,
    /// How long each hook of a plugin may take.
    pub hook_timeout: Duration,
    /// How long the whole stop may take; at least `drain_timeout` and `hook_timeout` together.
    pub stop_timeout: Duration,
    /// How long streams that cannot migrate stay on replaced code; `None`: until they end by themselves.
    pub replace_timeout: Option<Duration>,
    /// When new code is withdrawn automatically; `None`: never.
    pub rollback: Option<Rollback>,
    /// Limits of the process.
    pub limits: DaemonLimits,
}

/// The number of data-plane threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for each core.
    Auto,
    /// This many, 1 to 250.
    Count(usize),
}

/// When new code is withdrawn and the previous code serves again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// How long new code is watched, from its first use.
    pub window: Duration,
    /// The number of panics and failed health checks tolerated in that time.
    pub failures: u32,
}

/// Limits of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonLimits {
    /// Open streams of all services together.
    pub streams: u64,
}

/// Reads the section; an absent one has its defaults.
pub(crate) fn check(
    root: &Table<'_>,
    environment: &Environment<'_>,
    found: &mut Findings,
) -> Daemon {
    let table = root.table("daemon", &reference::DAEMON, found);
    let drain_timeout = table.duration("drain-timeout", found);
    let hook_timeout = table.duration("hook-timeout", found);
    let stop_timeout = table.duration("stop-timeout", found);
    if stop_timeout < drain_timeout.saturating_add(hook_timeout) {
        stop_too_short(&table, [drain_timeout, hook_timeout, stop_timeout], found);
    }
    Daemon {
        workers: workers(&table, found),
        plugin_path: plugin_path(&table, found),
        state_directory: state_directory(&table, environment, found),
        drain_timeout,
        hook_timeout,
        stop_timeout,
        replace_timeout: table.duration_or_off("replace-timeout", found),
        rollback: rollback(&table, found),
        limits: limits(&table, found),
    }
}

/// Reads the plugin path alone, which is needed before included files are read. Its faults are left to [`check`].
pub(crate) fn early_plugin_path(root: &Node) -> Vec<PathBuf> {
    let mut ignored = Findings::default();
    let root = Table::open(root, &reference::ROOT, String::new(), &mut ignored);
    let table = root.table("daemon", &reference::DAEMON, &mut ignored);
    plugin_path(&table, &mut ignored)
}

fn workers(table: &Table<'_>, found: &mut Findings) -> Workers {
    let count = table
        .count("workers", found)
        .and_then(|count| usize::try_from(count).ok());
    count.map_or(Workers::Auto, Workers::Count)
}

fn plugin_path(table: &Table<'_>, found: &mut Findings) -> Vec<PathBuf> {
    match table.texts("plugin-path", found) {
        Some(texts) => texts
            .into_iter()
            .map(|(text, position)| beside(&position.file, Path::new(text)))
            .collect(),
        None => {
            let default = reference::DAEMON
                .key("plugin-path")
                .and_then(|entry| entry.default);
            default
                .unwrap_or_default()
                .split(", ")
                .map(PathBuf::from)
                .collect()
        }
    }
}

fn state_directory(
    table: &Table<'_>,
    environment: &Environment<'_>,
    found: &mut Findings,
) -> Option<PathBuf> {
    if table.node("state-directory").is_some() {
        let (text, position) = table.text("state-directory", found)?;
        return Some(beside(&position.file, Path::new(text)));
    }
    environment.directory("STATE_DIRECTORY")
}

fn rollback(table: &Table<'_>, found: &mut Findings) -> Option<Rollback> {
    let rollback = table.table("rollback", &reference::ROLLBACK, found);
    let window = rollback.duration("window", found);
    let failures = rollback.count("failures", found)?;
    Some(Rollback {
        window,
        failures: u32::try_from(failures).unwrap_or(u32::MAX),
    })
}

fn limits(table: &Table<'_>, found: &mut Findings) -> DaemonLimits {
    let limits = table.table("limits", &reference::DAEMON_LIMITS, found);
    DaemonLimits {
        streams: limits.count("streams", found).unwrap_or_default(),
    }
}

/// Records a stop timeout that a full drain would use up: none would be left for the hooks after it, which save
/// state.
fn stop_too_short(table: &Table<'_>, times: [Duration; 3], found: &mut Findings) {
    let [drain, hook, stop] = times;
    let given = ["stop-timeout", "drain-timeout", "hook-timeout"];
    let given = given.iter().find_map(|key| table.node(key));
    let position = given.map_or(table.position, |node| &node.position);
    let message = format!(
        "`daemon.stop-timeout` ({}) is shorter than `daemon.drain-timeout` ({}) and `daemon.hook-timeout` ({}) together",
        duration_text(stop),
        duration_text(drain),
        duration_text(hook),
    );
    let enough = duration_text(drain.saturating_add(hook));
    found.error(
        position,
        message,
        format!("set stop-timeout to {enough} or more, or the other two to less"),
    );
}

/// Resolves a path relative to the file that names it.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
