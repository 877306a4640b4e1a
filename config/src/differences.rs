//! What differs between two readings of a configuration, in words for a plan: `timeouts.idle 5m -> 1m`. The
//! configuration of a plugin may hold secrets: of it only is told that it differs.

use std::path::Path;
use std::time::Duration;

use crate::admin::Admin;
use crate::daemon::{Daemon, Rollback, Workers};
use crate::document::Config;
use crate::instance::{Instance, Library};
use crate::log::Log;
use crate::service::{Service, ServiceLimits, Timeouts};
use crate::units::duration_text;

impl Config {
    /// The keys that a reload cannot take over, each with the reason. They are those whose values differ.
    pub fn restart_needed(&self, other: &Self) -> Vec<(String, String)> {
        let (was, is) = (&self.daemon, &other.daemon);
        let all = [
            (
                was.workers != is.workers,
                "daemon.workers",
                "the threads are made at the start",
            ),
            (
                was.state_directory != is.state_directory,
                "daemon.state-directory",
                "what is running keeps its state in the old one",
            ),
            (
                self.admin != other.admin,
                "admin.socket",
                "it is opened at the start",
            ),
            (
                self.log.format != other.log.format,
                "log.format",
                "what writes the log is set up at the start",
            ),
        ];
        let differing = all.into_iter().filter(|(differs, ..)| *differs);
        differing
            .map(|(_, key, why)| (key.to_owned(), why.to_owned()))
            .collect()
    }

    /// What differs in the keys of the process as a whole; instances and services have their own.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut all = self.daemon.differences(&other.daemon);
        all.extend(self.admin.differences(&other.admin));
        all.extend(self.log.differences(&other.log));
        all
    }
}

impl Daemon {
    /// What differs, with the key below `daemon`; [`Config::restart_needed`] tells which of it waits for a restart.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let Self {
            workers,
            plugin_path,
            state_directory,
            drain_timeout,
            hook_timeout,
            stop_timeout,
            replace_timeout,
            rollback,
            limits,
        } = self;
        let mut list = List::below("daemon.");
        list.add(
            "workers",
            workers,
            &other.workers,
            |workers| match workers {
                Workers::Auto => "auto".to_owned(),
                Workers::Count(count) => count.to_string(),
            },
        );
        list.add("plugin-path", plugin_path, &other.plugin_path, |paths| {
            let names: Vec<_> = paths
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            format!("[{}]", names.join(", "))
        });
        list.add(
            "state-directory",
            state_directory,
            &other.state_directory,
            |path| path_or(path.as_deref(), "none"),
        );
        list.add("drain-timeout", drain_timeout, &other.drain_timeout, time);
        list.add("hook-timeout", hook_timeout, &other.hook_timeout, time);
        list.add("stop-timeout", stop_timeout, &other.stop_timeout, time);
        list.add(
            "replace-timeout",
            replace_timeout,
            &other.replace_timeout,
            time_or_off,
        );
        list.add(
            "rollback",
            rollback,
            &other.rollback,
            |rollback| match rollback {
                None => "off".to_owned(),
                Some(Rollback { window, failures }) => {
                    format!("{failures} in {}", duration_text(*window))
                }
            },
        );
        list.add(
            "limits.streams",
            &limits.streams,
            &other.limits.streams,
            ToString::to_string,
        );
        list.words
    }
}

impl Admin {
    /// What differs, with the key below `admin`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let Self { socket } = self;
        let mut list = List::below("admin.");
        list.add("socket", socket, &other.socket, |path| {
            path_or(path.as_deref(), "off")
        });
        list.words
    }
}

impl Log {
    /// What differs, with the key below `log`.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let Self { format, level } = self;
        let mut list = List::below("log.");
        list.add("format", format, &other.format, ToString::to_string);
        list.add("level", level, &other.level, ToString::to_string);
        list.words
    }
}

impl Instance {
    /// What differs, with the key below `plugins.NAME`; nothing exactly when they mean the same. Of `config` only is
    /// told that it differs.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut list = List::below("");
        list.add(
            "library",
            &self.library,
            &other.library,
            |library| match library {
                Library::Name(name) => name.clone(),
                Library::Path(path) => path.display().to_string(),
            },
        );
        list.add("handler", &self.handler, &other.handler, |handler| {
            handler.clone().unwrap_or_else(|| "the only one".to_owned())
        });
        list.add("after", &self.after, &other.after, |after| {
            format!("[{}]", after.join(", "))
        });
        if self.config.to_json() != other.config.to_json() {
            list.words.push("config changed".to_owned());
        }
        list.words
    }
}

impl Service {
    /// What differs, with the key below `services.NAME`; nothing exactly when they mean the same.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut list = List::below("");
        list.words.extend(self.listen_difference(other));
        list.add(
            "handler",
            &self.handler,
            &other.handler,
            ToString::to_string,
        );
        let ServiceLimits { streams } = &self.limits;
        list.add("limits.streams", streams, &other.limits.streams, |limit| {
            limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
        });
        let Timeouts {
            first_byte,
            idle,
            write,
            lifetime,
            drain,
        } = &self.timeouts;
        let new = &other.timeouts;
        list.add(
            "timeouts.first-byte",
            first_byte,
            &new.first_byte,
            time_or_off,
        );
        list.add("timeouts.idle", idle, &new.idle, time_or_off);
        list.add("timeouts.write", write, &new.write, time_or_off);
        list.add("timeouts.lifetime", lifetime, &new.lifetime, time_or_off);
        list.add("timeouts.drain", drain, &new.drain, |drain| {
            drain.map_or_else(|| "daemon.drain-timeout".to_owned(), duration_text)
        });
        list.words
    }

    /// `listen +tcp://… -udp://…`; the same ones in another order are `listen reordered`.
    fn listen_difference(&self, other: &Self) -> Option<String> {
        let lacks = |service: &Self, wanted: &crate::ListenAddress| {
            !service.listeners.iter().any(|one| one.address == *wanted)
        };
        let addresses = |service: &'_ Self| -> Vec<_> {
            let all = service.listeners.iter();
            all.map(|listener| listener.address.clone()).collect()
        };
        let (was, is) = (addresses(self), addresses(other));
        if was == is {
            return None;
        }
        let added = is.iter().filter(|one| lacks(self, one));
        let added = added.map(|one| format!(" +{one}"));
        let gone = was.iter().filter(|one| lacks(other, one));
        let gone = gone.map(|one| format!(" -{one}"));
        let words: String = added.chain(gone).collect();
        Some(if words.is_empty() {
            "listen reordered".to_owned()
        } else {
            format!("listen{words}")
        })
    }
}

/// What differs, in words, in the order of the reference.
struct List {
    /// What each key begins with.
    section: &'static str,
    words: Vec<String>,
}

impl List {
    fn below(section: &'static str) -> Self {
        Self {
            section,
            words: Vec::new(),
        }
    }

    fn add<T: PartialEq>(&mut self, key: &str, was: &T, is: &T, shown: impl Fn(&T) -> String) {
        if was != is {
            let section = self.section;
            self.words
                .push(format!("{section}{key} {} -> {}", shown(was), shown(is)));
        }
    }
}

fn path_or(path: Option<&Path>, absent: &str) -> String {
    path.map_or_else(|| absent.to_owned(), |path| path.display().to_string())
}

fn time(duration: &Duration) -> String {
    duration_text(*duration)
}

fn time_or_off(duration: &Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), duration_text)
}
