//! What a loaded configuration is: the checked values that the daemon works with, and what was
//! learned on the way.

use std::path::PathBuf;

use crate::admin::Admin;
use crate::daemon::Daemon;
use crate::faults::{Fault, Sources};
use crate::instance::Instance;
use crate::log::Log;
use crate::service::Service;

/// What [`load`](crate::load) may ask about the world, so that a test can answer for it.
#[derive(Clone, Copy)]
#[expect(
    missing_debug_implementations,
    reason = "two closures have nothing to print"
)]
pub struct Surroundings<'a> {
    /// The value of an environment variable, for `${NAME}`.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a plugin of this name is in one of these directories, for `when-plugin:`.
    pub plugin_exists: &'a dyn Fn(&str, &[PathBuf]) -> bool,
}

impl Surroundings<'_> {
    /// The first directory of a variable of the service manager, which separates several by colons.
    pub(crate) fn directory(&self, variable: &str) -> Option<PathBuf> {
        let all = (self.variable)(variable)?;
        let first = all.split(':').next().filter(|first| !first.is_empty());
        first.map(PathBuf::from)
    }
}

/// A configuration without a fault, and what to tell the operator about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The checked values.
    pub config: Config,
    /// What is worth a line in the log: an included file that was skipped, say.
    pub warnings: Vec<Fault>,
    /// The texts, to show later faults (a plugin's own) in their lines.
    pub sources: Sources,
}

/// The whole configuration, checked, with every default filled in. Who keeps one for later shares it in an `Arc`:
/// nothing in it changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The process as a whole.
    pub daemon: Daemon,
    /// Where the daemon is asked and commanded.
    pub admin: Admin,
    /// What is logged, and how.
    pub log: Log,
    /// The instances, in the order in which they start: each after those in its `after`.
    pub instances: Vec<Instance>,
    /// The services, in the order of the files.
    pub services: Vec<Service>,
}

impl Config {
    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
