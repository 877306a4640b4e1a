//! `polyportd --check`: validates a configuration and the plugins that it names. Opens no socket and writes nothing.

use std::io::{self, Write as _};
use std::path::Path;

use polyport_config::Faults;

use super::Exit;
use super::desired::faults::print;
use super::desired::load::{ValidationCache, validate};

/// Prints every fault, or that there is none.
pub fn check(config: &Path, quiet: bool) -> Exit {
    let valid = match validate(config, &ValidationCache::default()) {
        Ok(valid) => valid,
        Err(faults) => {
            if !quiet {
                print(&faults);
            }
            return Exit::Config;
        }
    };
    if quiet {
        return Exit::Clean;
    }
    let warnings = Faults::new(valid.warnings, valid.sources);
    if !warnings.is_empty() {
        print(&warnings);
    }
    let values = &valid.desired.config;
    drop(writeln!(
        io::stdout(),
        "{}: configuration is good: services {}, instances {}, plugins {}",
        config.display(),
        values.services.len(),
        values.instances.len(),
        valid.desired.files.len()
    ));
    Exit::Clean
}
