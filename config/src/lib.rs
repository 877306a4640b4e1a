//! The configuration of Polyport: from YAML files to checked values, or to every fault at once.
//!
//! 1. A file is read once, with a bound on everything (`source`), and becomes a tree in which each
//!    value knows its position (`yaml`, [`node`]).
//! 2. Variables are expanded (`variables`), included files are merged by key (`include`).
//! 3. Hand-written readers walk the tree (`table`, one module for each section); a fault is
//!    recorded and the walk continues.
//! 4. Each key is declared once, in [`reference`](mod@reference); defaults, unknown keys, the
//!    schema and the manual follow from it.
//! 5. The configuration of a plugin is opaque here, and may hold secrets: it is never printed.
#![forbid(unsafe_code)]

// The result.
pub mod document;
pub mod daemon;
pub mod admin;
pub mod log;
pub mod instance;
pub mod service;
pub mod listener;
mod overlap;
mod differences;
// Faults and their positions.
pub mod faults;
mod render;
pub mod nearest;
// The keys.
pub mod reference;
pub mod schema;
pub mod manual;
// From files to a tree, and from the tree to values.
mod source;
mod yaml;
pub mod node;
mod variables;
mod include;
mod pattern;
mod overlay;
mod table;
mod name;
pub mod units;

pub use admin::Admin;
pub use daemon::{Daemon, DaemonLimits, Rollback, Workers};
pub use document::{Config, Environment, Loaded};
pub use faults::{Fault, Faults, Severity, Sources};
pub use instance::{Instance, Library};
pub use listener::{ListenAddress, Listener, UnixAddress};
pub use log::{Log, LogFormat, LogLevel};
pub use name::is_name;
pub use nearest::nearest;
pub use node::{Key, Kind, Node, Position};
pub use schema::schema;
pub use service::{Service, ServiceLimits, Timeouts};

use std::path::Path;

use table::{Findings, Table};

/// Reads and checks a configuration and its included files. No other file is opened, and nothing is
/// written.
///
/// # Errors
/// All faults, in the order of the files and their lines.
pub fn load(path: &Path, environment: &Environment<'_>) -> Result<Loaded, Faults> {
    let mut found = Findings::default();
    let root = include::load_tree(path, environment, &mut found);
    let config = check(&root, environment, &mut found);
    let Findings {
        faults,
        warnings,
        sources,
        ..
    } = found;
    if faults.is_empty() {
        Ok(Loaded {
            config,
            warnings,
            sources,
        })
    } else {
        Err(Faults::new(faults, sources))
    }
}

/// Checks the whole tree, section by section.
fn check(root: &Node, environment: &Environment<'_>, found: &mut Findings) -> Config {
    let table = Table::open(root, &reference::ROOT, String::new(), found);
    let daemon = daemon::check(&table, environment, found);
    let admin = admin::check(&table, environment, found);
    let log = log::check(&table, found);
    let mut drafts = instance::check(table.node("plugins"), found);
    let services = service::check(table.node("services"), found);
    overlap::conflicts(&services, found);
    admin.refuse_listeners(&services, found);
    instance::add_implicit(&mut drafts, &services);
    let instances = instance::order(drafts, found);
    let services = services.into_iter().map(|(service, _)| service).collect();
    Config {
        daemon,
        admin: admin.admin,
        log,
        instances,
        services,
    }
}
