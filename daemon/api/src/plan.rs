//! The plan: what a reload would change, before it changes anything.

use serde::{Deserialize, Serialize};

/// What a change does, part by part. Parts that stay as they are are listed too, as kept.
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
    /// Keys of the process as a whole that change: `limits.streams 50000 -> 100`.
    pub settings: Vec<String>,
    /// Keys whose change waits for a restart.
    pub restart: Vec<Restart>,
}

impl Plan {
    /// Does it change anything that runs? What waits for a restart does not.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.listeners
            .iter()
            .any(|step| step.action != ListenerAction::Kept)
            || self
                .services
                .iter()
                .any(|step| step.action != ServiceAction::Kept)
            || !self.settings.is_empty()
            || self
                .plugins
                .iter()
                .any(|step| step.action != PluginAction::Unchanged)
            || self
                .instances
                .iter()
                .any(|step| step.action != InstanceAction::Kept)
    }

    /// How many of what it changes, for one line: `2 listeners opened`, `1 instance replaced`.
    #[must_use]
    pub fn counts(&self) -> Vec<String> {
        let mut counts = Vec::new();
        let mut count = |what: &str, done: &str, number: usize| match number {
            0 => {}
            1 => counts.push(format!("1 {what} {done}")),
            _ => counts.push(format!("{number} {what}s {done}")),
        };
        for (action, done) in [
            (ListenerAction::Opened, "opened"),
            (ListenerAction::Moved, "moved"),
            (ListenerAction::Closed, "closed"),
        ] {
            let steps = self.listeners.iter();
            count(
                "listener",
                done,
                steps.filter(|step| step.action == action).count(),
            );
        }
        for (action, done) in [
            (ServiceAction::Added, "added"),
            (ServiceAction::Changed, "changed"),
            (ServiceAction::Removed, "removed"),
        ] {
            let steps = self.services.iter();
            count(
                "service",
                done,
                steps.filter(|step| step.action == action).count(),
            );
        }
        for (action, done) in [
            (PluginAction::Loaded, "loaded"),
            (PluginAction::Swapped, "swapped"),
            (PluginAction::Retired, "retired"),
        ] {
            let steps = self.plugins.iter();
            count(
                "plugin",
                done,
                steps.filter(|step| step.action == action).count(),
            );
        }
        for (action, done) in [
            (InstanceAction::Added, "added"),
            (InstanceAction::Reconfigured, "reconfigured"),
            (InstanceAction::Replaced, "replaced"),
            (InstanceAction::Removed, "removed"),
        ] {
            let steps = self.instances.iter();
            count(
                "instance",
                done,
                steps.filter(|step| step.action == action).count(),
            );
        }
        count("setting", "changed", self.settings.len());
        counts
    }
}

/// What becomes of a socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStep {
    /// As in the configuration; once open with a port of 0 resolved.
    pub address: String,
    /// Whose it is after the change; before it, if it is closed.
    pub service: String,
    /// What becomes of it.
    pub action: ListenerAction,
    /// Whose it was, if it goes from one service to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What becomes of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ListenerAction {
    /// Bound, or taken from the service manager.
    Opened,
    /// Not touched.
    Kept,
    /// Not touched, but answered by another service.
    Moved,
    /// Accepts its queue empty, then closes.
    Closed,
}

/// What becomes of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStep {
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub action: ServiceAction,
    /// Which of its keys change: `timeouts.idle 5m -> 1m`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Streams and flows that it has now.
    #[serde(default)]
    pub streams: u64,
}

/// What becomes of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceAction {
    /// New.
    Added,
    /// Not touched.
    Kept,
    /// Other limits, timeouts, listeners, or another instance behind it.
    Changed,
    /// Its streams drain under its grace.
    Removed,
}

/// What becomes of a plugin's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStep {
    /// Short name of the file.
    pub name: String,
    /// The file.
    pub path: String,
    /// What becomes of it.
    pub action: PluginAction,
    /// The plugin's own version.
    #[serde(default)]
    pub version: String,
    /// The first digits of the SHA-256 of its bytes.
    #[serde(default)]
    pub digest: String,
    /// The generation that serves afterwards, once it is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What an operator should know: that this file was withdrawn before, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What becomes of a plugin's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginAction {
    /// Its first generation.
    Loaded,
    /// The same content: nothing is loaded.
    Unchanged,
    /// Changed content: a new generation beside the old.
    Swapped,
    /// Nothing uses it any more; its code stays mapped.
    Retired,
}

/// What becomes of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceStep {
    /// Its name.
    pub name: String,
    /// Short name of its plugin.
    pub plugin: String,
    /// What becomes of it.
    pub action: InstanceAction,
    /// Why, in words: `new code`, `its configuration changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Streams and flows that it has now.
    #[serde(default)]
    pub streams: u64,
    /// What its streams will do: `migrate`, `finish on the old code`, `drain`; empty when they are not touched.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fate: String,
}

/// What becomes of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceAction {
    /// New.
    Added,
    /// Not touched.
    Kept,
    /// Takes its new configuration while it serves; replaced if the handler declines.
    Reconfigured,
    /// A new one beside the old.
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
