//! The plan: the changes of a reload, before they are made.

use serde::{Deserialize, Serialize};

/// The changes by part. Unchanged parts are listed too, as kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// Sockets.
    pub listeners: Vec<ListenerStep>,
    /// Services.
    pub services: Vec<ServiceStep>,
    /// Plugin files.
    pub plugins: Vec<PluginStep>,
    /// Instances.
    pub instances: Vec<InstanceStep>,
    /// Keys of the process that change: `limits.streams 50000 -> 100`.
    pub settings: Vec<String>,
    /// Keys whose change waits for a restart.
    pub restart: Vec<Restart>,
}

impl Plan {
    /// Whether the plan changes anything that runs; changes that wait for a restart do not count.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.counts().is_empty()
    }

    /// The numbers of changes, for one line: `2 listeners opened`, `1 instance replaced`.
    #[must_use]
    pub fn counts(&self) -> Vec<String> {
        let mut counts = Vec::new();
        let listeners = self.listeners.iter().map(|step| step.action);
        count(
            &mut counts,
            "listener",
            listeners,
            &[
                (ListenerAction::Opened, "opened"),
                (ListenerAction::Moved, "moved"),
                (ListenerAction::Closed, "closed"),
            ],
        );
        let services = self.services.iter().map(|step| step.action);
        count(
            &mut counts,
            "service",
            services,
            &[
                (ServiceAction::Added, "added"),
                (ServiceAction::Changed, "changed"),
                (ServiceAction::Removed, "removed"),
            ],
        );
        let plugins = self.plugins.iter().map(|step| step.action);
        count(
            &mut counts,
            "plugin",
            plugins,
            &[
                (PluginAction::Loaded, "loaded"),
                (PluginAction::Swapped, "swapped"),
                (PluginAction::Retired, "retired"),
            ],
        );
        let instances = self.instances.iter().map(|step| step.action);
        count(
            &mut counts,
            "instance",
            instances,
            &[
                (InstanceAction::Added, "added"),
                (InstanceAction::Reconfigured, "reconfigured"),
                (InstanceAction::Replaced, "replaced"),
                (InstanceAction::Removed, "removed"),
            ],
        );
        let settings = self.settings.iter().map(|_| ());
        count(&mut counts, "setting", settings, &[((), "changed")]);
        counts
    }
}

/// Appends the number of each action: `2 services added`.
fn count<A: PartialEq>(
    counts: &mut Vec<String>,
    what: &str,
    actions: impl Iterator<Item = A> + Clone,
    names: &[(A, &str)],
) {
    for (action, name) in names {
        match actions.clone().filter(|one| one == action).count() {
            0 => {}
            1 => counts.push(format!("1 {what} {name}")),
            number => counts.push(format!("{number} {what}s {name}")),
        }
    }
}

/// The change of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStep {
    /// The address of the configuration; port 0 resolved once the socket is open.
    pub address: String,
    /// The service that has it after the change; before the change, if it is closed.
    pub service: String,
    /// The change.
    pub action: ListenerAction,
    /// The previous service, if the socket moves to another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// The change of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerAction {
    /// Bound, or taken from the service manager.
    Opened,
    /// Unchanged.
    Kept,
    /// Unchanged, but served by another service.
    Moved,
    /// Closed once its accept queue is empty.
    Closed,
}

/// The change of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStep {
    /// Its name.
    pub name: String,
    /// The change.
    pub action: ServiceAction,
    /// The changed keys: `timeouts.idle 5m -> 1m`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Its present streams and flows.
    #[serde(default)]
    pub streams: u64,
}

/// The change of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAction {
    /// New.
    Added,
    /// Unchanged.
    Kept,
    /// Changed limits, timeouts, listeners or instance.
    Changed,
    /// Its streams drain within its grace.
    Removed,
}

/// The change of a plugin's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStep {
    /// Short name of the file.
    pub name: String,
    /// The file.
    pub path: String,
    /// The change.
    pub action: PluginAction,
    /// The plugin's own version.
    #[serde(default)]
    pub version: String,
    /// The first digits of the SHA-256 of its bytes.
    #[serde(default)]
    pub digest: String,
    /// The generation that serves after the change, once loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// A note to the operator, such as an earlier withdrawal of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The change of a plugin's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginAction {
    /// Its first generation.
    Loaded,
    /// Same content: nothing is loaded.
    Unchanged,
    /// Changed content: a new generation beside the old one.
    Swapped,
    /// No longer used; its code stays mapped.
    Retired,
}

/// The change of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStep {
    /// Its name.
    pub name: String,
    /// Short name of its plugin.
    pub plugin: String,
    /// The change.
    pub action: InstanceAction,
    /// The reason: `new code`, `its configuration changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its present streams and flows.
    #[serde(default)]
    pub streams: u64,
    /// The effect on its streams: `migrate`, `finish on the old code`, `drain`; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fate: String,
}

/// The change of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceAction {
    /// New.
    Added,
    /// Unchanged.
    Kept,
    /// Takes its new configuration while it serves; replaced if the handler declines.
    Reconfigured,
    /// A new instance beside the old one.
    Replaced,
    /// Drained, stopped, destroyed.
    Removed,
}

/// A key whose change waits for a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The key, dotted.
    pub key: String,
    /// Why it cannot be changed while the daemon runs.
    pub why: String,
}
