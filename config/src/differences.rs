//! The difference between two readings of a configuration, as lines of a plan: `timeouts.idle 5m ->
//! 1m`. The configuration of a plugin may hold secrets, so its values are not shown.

use std::path::PathBuf;
use std::time::Duration;

use crate::daemon::Workers;
use crate::document::Config;
use crate::instance::{Instance, Library};
use crate::service::Service;
use crate::units::duration_text;

/// The keys that a reload cannot apply, each with the reason.
const RESTART_NEEDED: [(&str, &str); 4] = [
    ("daemon.workers", "the threads are made at the start"),
    (
        "daemon.state-directory",
        "what is running keeps its state in the old one",
    ),
    ("admin.socket", "it is opened at the start"),
    ("log.format", "what writes the log is set up at the start"),
];

/// Keys with their values as text, in the order of the reference.
type Values = Vec<(&'static str, String)>;

impl Config {
    /// The keys that differ and that a reload cannot apply, each with the reason.
    pub fn restart_needed(&self, other: &Self) -> Vec<(String, String)> {
        let (old, new) = (self.values(), other.values());
        let differs = |key: &str| changed(&old, &new).any(|(changed, ..)| changed == key);
        RESTART_NEEDED
            .into_iter()
            .filter(|(key, _)| differs(key))
            .map(|(key, why)| (key.to_owned(), why.to_owned()))
            .collect()
    }

    /// The differences in the keys of the process; instances and services have their own.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        lines(&self.values(), &other.values())
    }

    fn values(&self) -> Values {
        let (daemon, log) = (&self.daemon, &self.log);
        let workers = match daemon.workers {
            Workers::Auto => "auto".to_owned(),
            Workers::Count(count) => count.to_string(),
        };
        let rollback = daemon.rollback.map_or("off".to_owned(), |rollback| {
            let window = duration_text(rollback.window);
            format!("{} in {window}", rollback.failures)
        });
        let plugin_path = daemon.plugin_path.iter().map(|path| path.display());
        let state_directory = path_or(daemon.state_directory.as_ref(), "none");
        let replace_timeout = duration_or(daemon.replace_timeout, "off");
        vec![
            ("daemon.workers", workers),
            ("daemon.plugin-path", list(plugin_path)),
            ("daemon.state-directory", state_directory),
            ("daemon.drain-timeout", duration_text(daemon.drain_timeout)),
            ("daemon.hook-timeout", duration_text(daemon.hook_timeout)),
            ("daemon.stop-timeout", duration_text(daemon.stop_timeout)),
            ("daemon.replace-timeout", replace_timeout),
            ("daemon.rollback", rollback),
            ("daemon.limits.streams", daemon.limits.streams.to_string()),
            ("admin.socket", path_or(self.admin.socket.as_ref(), "off")),
            ("log.format", log.format.to_string()),
            ("log.level", log.level.to_string()),
        ]
    }
}

impl Instance {
    /// Whether another reading of the configuration means the same instance; places do not count.
    pub fn means_same(&self, other: &Self) -> bool {
        self.name == other.name && self.differences(other).is_empty()
    }

    /// The differences, each with the key below `plugins.NAME`; of `config` only that it differs.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = lines(&self.values(), &other.values());
        if self.config.to_json() != other.config.to_json() {
            all.push("config changed".to_owned());
        }
        all
    }

    fn values(&self) -> Values {
        let library = match &self.library {
            Library::Name(name) => name.clone(),
            Library::Path(path) => path.display().to_string(),
        };
        let handler = self.handler.as_deref().unwrap_or("the only one");
        vec![
            ("library", library),
            ("handler", handler.to_owned()),
            ("after", list(self.after.iter())),
        ]
    }
}

impl Service {
    /// Whether another reading of the configuration means the same service; places do not count.
    pub fn means_same(&self, other: &Self) -> bool {
        self.name == other.name && self.differences(other).is_empty()
    }

    /// The differences, each with the key below `services.NAME`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut all: Vec<String> = self.listen_difference(other).into_iter().collect();
        all.extend(lines(&self.values(), &other.values()));
        all
    }

    fn values(&self) -> Values {
        let timeouts = &self.timeouts;
        let streams = self.limits.streams;
        let streams = streams.map_or("none".to_owned(), |limit| limit.to_string());
        let drain = duration_or(timeouts.drain, "daemon.drain-timeout");
        vec![
            ("handler", self.handler.clone()),
            ("limits.streams", streams),
            (
                "timeouts.first-byte",
                duration_or(timeouts.first_byte, "off"),
            ),
            ("timeouts.idle", duration_or(timeouts.idle, "off")),
            ("timeouts.write", duration_or(timeouts.write, "off")),
            ("timeouts.lifetime", duration_or(timeouts.lifetime, "off")),
            ("timeouts.drain", drain),
        ]
    }

    /// `listen +tcp://… -udp://…`; the same addresses in another order are `listen reordered`.
    fn listen_difference(&self, other: &Self) -> Option<String> {
        let addresses = |service: &Self| -> Vec<String> {
            let all = service.listeners.iter();
            all.map(|listener| listener.address.to_string()).collect()
        };
        let (old, new) = (addresses(self), addresses(other));
        if old == new {
            return None;
        }
        let added = new.iter().filter(|one| !old.contains(one));
        let removed = old.iter().filter(|one| !new.contains(one));
        let words: String = (added.map(|one| format!(" +{one}")))
            .chain(removed.map(|one| format!(" -{one}")))
            .collect();
        Some(if words.is_empty() {
            "listen reordered".to_owned()
        } else {
            format!("listen{words}")
        })
    }
}

/// The values that differ: key, old value, new value.
fn changed<'a>(
    old: &'a Values,
    new: &'a Values,
) -> impl Iterator<Item = (&'static str, &'a str, &'a str)> {
    let both = old.iter().zip(new);
    both.filter(|(old, new)| old != new)
        .map(|((key, old), (_, new))| (*key, old.as_str(), new.as_str()))
}

fn lines(old: &Values, new: &Values) -> Vec<String> {
    changed(old, new)
        .map(|(key, old, new)| format!("{key} {old} -> {new}"))
        .collect()
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn path_or(path: Option<&PathBuf>, absent: &str) -> String {
    path.map_or(absent.to_owned(), |path| path.display().to_string())
}

fn duration_or(duration: Option<Duration>, absent: &str) -> String {
    duration.map_or(absent.to_owned(), duration_text)
}
