//! Configuration faults in the log, in outcomes and on the terminal.

use std::io::{self, IsTerminal as _, Write as _};

use polyport_api::FaultLine;
use polyport_config::{Fault, Faults, Severity};

/// The first error, and how many more there are.
pub fn summary(faults: &Faults) -> String {
    let mut errors = faults
        .iter()
        .filter(|fault| fault.severity == Severity::Error);
    let Some(first) = errors.next() else {
        return "the configuration is bad".to_owned();
    };
    match errors.count() {
        0 => format!("{}: {}", first.position, first.message),
        more => format!("{}: {} (and {more} more)", first.position, first.message),
    }
}

/// A fault in an outcome.
pub fn fault_line(fault: &Fault) -> FaultLine {
    FaultLine {
        error: fault.severity == Severity::Error,
        place: fault.position.to_string(),
        message: fault.message.clone(),
        help: fault.help.clone().unwrap_or_default(),
    }
}

/// Logs all faults of a configuration that cannot be used.
pub fn log_faults(faults: &Faults) {
    for fault in faults.iter() {
        match fault.severity {
            Severity::Warning => log_warning(fault),
            Severity::Error => tracing::error!(
                place = %fault.position,
                help = fault.help.as_deref().unwrap_or_default(),
                "configuration: {}", fault.message
            ),
        }
    }
    tracing::error!(faults = faults.len(), "configuration is bad");
}

/// Logs a warning.
pub fn log_warning(fault: &Fault) {
    let help = fault.help.as_deref().unwrap_or_default();
    tracing::warn!(place = %fault.position, help, "configuration: {}", fault.message);
}

/// Prints faults on the terminal. A closed one is not an error.
pub fn print(faults: &Faults) {
    let text = if io::stderr().is_terminal() {
        faults.render(faults.sources(), true)
    } else {
        faults.to_string()
    };
    drop(writeln!(io::stderr(), "{}", text.trim_end()));
}
