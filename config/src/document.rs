//! A loaded configuration: the checked values, warnings and the texts of the files.

use std::path::PathBuf;

use crate::admin::Admin;
use crate::daemon::Daemon;
use crate::faults::{Fault, Sources};
use crate::instance::Instance;
use crate::log::Log;
use crate::service::Service;

/// The environment of [`load`](crate::load), replaceable in tests.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "two closures have nothing to print"
)]
pub struct Environment<'a> {
    /// The value of an environment variable, for `${NAME}`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a plugin of this name is in one of these directories, for `when-plugin:`.
    pub plugin_exists: &'a dyn Fn(&str, &[PathBuf]) -> bool,
}

impl Environment<'_> {
    /// The first directory of a variable of the service manager, which separates several by colons.
    pub(crate) fn directory(&self, variable: &str) -> Option<PathBuf> {
        let all = (self.variable)(variable)?;
        let first = all.split(':').next().filter(|first| !first.is_empty());
        first.map(PathBuf::from)
    }
}

/// A valid configuration with its warnings.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// Warnings, such as a skipped included file.
    pub warnings: Vec<Fault>,
    /// The texts, to show the lines of later faults (a plugin's own).
    pub sources: Sources,
}

/// The whole configuration, checked, with all defaults. Immutable: share it in an `Arc`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process.
    pub daemon: Daemon,
    /// The admin socket.
    pub admin: Admin,
    /// Logging.
    pub log: Log,
    /// The instances in start order: each after those in its `after`.
    pub instances: Vec<Instance>,
    /// The services, in the order of the files.
    pub services: Vec<Service>,
}

impl Config {
    /// The service with this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
