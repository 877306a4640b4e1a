//! The harness of the end-to-end tests: it runs the real binary with real plugins, as an operator would.
//!
//! A test builds a configuration with [`Daemon::builder`], connects to the sockets that the log names, and
//! ends with [`Daemon::stop`]. After each test the harness checks for what a healthy daemon never leaves
//! behind: an error in the log, a child process, a listening socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a harness fails a test by panicking, and shows the log when it does"
)]

// The daemon under test.
pub mod events;
pub mod binaries;
pub mod draft;
pub mod builder;
pub mod daemon;
pub mod reload;
pub mod upgrade;
pub mod log;
pub mod process;
pub mod run;
// What is loaded into it.
pub mod plugins;
pub mod damage;
// Who talks to it.
pub mod client;
pub mod load;
pub mod pattern;
pub mod wait;
// Who started it.
pub mod notify;

pub use builder::{Builder, Stderr};
pub use client::{tcp, udp};
pub use daemon::Daemon;
pub use draft::Draft;
pub use log::{Event, Log};
pub use nix::sys::signal::Signal;
pub use notify::{Manager, Passed};
pub use plugins::TestPlugin;
pub use reload::Place;
pub use run::Finished;

/// The deadline of anything that should happen at once, on a busy machine.
pub const SOON: std::time::Duration = std::time::Duration::from_secs(20);
