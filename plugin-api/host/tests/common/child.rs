//! What the tests run in the daemon's place, because it may die: a probe child.
//!
//! An executable of its own, so that the tests can have the usual harness, which would take the
//! probe's arguments for names of tests and write to the probe's socket.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("probe") => polyport_host::probe::probe_child(),
        _ => ExitCode::from(USAGE),
    }
}

/// As sysexits(3) has it.
const USAGE: u8 = 64;
