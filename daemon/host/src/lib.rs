//! The daemon's half of the plugin ABI: the one crate that loads and calls plugin code.
//!
//! Principles, each with the module that keeps it:
//! 1. A file is read and inspected before any of its code runs (`inspect`), and a child process runs the code before the
//!    daemon does (`probe`).
//! 2. The code that runs is a sealed private copy (`stage`), loaded once and never unloaded (`library`).
//! 3. Raw arguments of a plugin are checked as far as possible, copied where they are kept, and never outlive the call
//!    (`raw_args`).
//! 4. A plugin names objects of the host by ids, never by pointers (`id`); a stale id gives an error code (`wake_table`,
//!    `registry`).
//! 5. Host functions only turn raw arguments into typed ones (`services`); safe traits do the work (`host_api`).
//! 6. Every call into a plugin passes `boundary`, which notes the context for host functions and the call for the watchdog.
//! 7. A hook that does not return costs one thread and one instance (`hook_thread`, `bounded_call`).
//!
//! The modules follow in reading order.
#![expect(
    unsafe_code,
    reason = "the border with plugin code, whose functions take raw pointers"
)]

// terms
mod sync;
pub mod id;
pub mod status;
pub mod report;
mod raw_args;

// from a file to code that may be called
pub mod load_error;
pub mod digest;
pub mod plugin_path;
mod elf;
mod dynamic;
pub mod note;
pub mod inspect;
pub mod stage;
pub mod probe;
mod probe_protocol;
mod probe_exit;
mod probe_child;
mod probe_host;
mod tables;
mod negotiate;
mod library;
mod bounded_call;
pub mod generation;

// calls of a plugin into the host
pub mod host_api;
pub mod registry;
pub mod wake_table;
pub mod metrics;
pub mod services;

// calls of the host into a plugin
pub mod boundary;
pub mod instance;
mod hook_inbox;
pub mod hook_thread;
mod timers;
mod state_io;
pub mod hooks;
pub mod callbacks;
pub mod stream;
pub mod datagram;
pub mod transfer;
