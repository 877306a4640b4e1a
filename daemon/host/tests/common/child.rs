//! What the tests run in the daemon's place, because it may die: a probe child, a process that
//! loads plugins as the daemon does, and one that trusts each file.
//!
//! An executable of its own, so that the tests can have the usual harness, which would take the
//! probe's arguments for names of tests and write to the probe's socket.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    reason = "opens what it is told to and says how it went"
)]

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use polyport_abi::{ENTRY_SYMBOL, PpEntry};
use polyport_host::generation::load;
use polyport_host::probe::{inert_host, probe_child};
use polyport_host::stage::{StageOptions, stage};
use polyport_sys::limits::{ChildLimits, limit_child};
use polyport_sys::process::exit_now;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("probe") => return probe_child(),
        Some("load") => load_each(arguments),
        Some("trust") => trust_each(arguments),
        _ => return ExitCode::from(USAGE),
    }
    println!("{ALIVE}");
    // Without what plugins left to be done at the end.
    exit_now(0)
}

/// Loads what the arguments name, one after the other, and says what became of each file; the files
/// of one argument, joined by `+`, are loaded at once.
fn load_each(arguments: impl Iterator<Item = String>) {
    limit(120);
    let numbers = &AtomicU64::new(1);
    for files in arguments {
        let (here, others) = files.split_once('+').unwrap_or((&files, ""));
        std::thread::scope(|scope| {
            // No new thread gets far while a constructor hangs, so a single file needs none.
            for file in others.split_terminator('+') {
                scope.spawn(move || load_one(file, numbers.fetch_add(1, Ordering::Relaxed)));
            }
            load_one(here, numbers.fetch_add(1, Ordering::Relaxed));
        });
    }
}

fn load_one(file: &str, number: u64) {
    let staged = stage(Path::new(file), &StageOptions::default());
    match staged.and_then(|staged| load(staged, number, inert_host())) {
        Ok(_) => println!("{file}: loaded"),
        Err(error) => println!("{}: {error}", error.code()),
    }
}

/// The way without any guard, which shows that the guards are needed.
fn trust_each(files: impl Iterator<Item = String>) {
    limit(5);
    for file in files {
        // SAFETY: nothing makes this sound: that is what the tests show, and why this is a child.
        let Ok(library) = (unsafe { Library::open(Some(&file), RTLD_NOW | RTLD_LOCAL) }) else {
            continue;
        };
        // SAFETY: likewise.
        if let Ok(entry) = unsafe { library.get::<PpEntry>(ENTRY_SYMBOL) } {
            // SAFETY: likewise.
            unsafe { entry() };
        }
        std::mem::forget(library);
    }
}

/// No core dumps, and an end in any case.
fn limit(seconds: u32) {
    let limits = ChildLimits {
        cpu_seconds: seconds.into(),
        address_space_bytes: 8 << 30,
        file_size_bytes: 64 << 20,
        alarm_seconds: seconds,
    };
    if let Err(error) = limit_child(limits) {
        println!("the limits stay as they are: {error}");
    }
}

/// The last line of who was not ended by a plugin.
const ALIVE: &str = "alive";
/// As sysexits(3) has it.
const USAGE: u8 = 64;
