//! The daemon's half of the plugin ABI: the one crate that loads and calls plugin code.
//!
//! Principles, each kept by one file:
//! 1. Nothing of a file runs before it was read and vetted (`inspect`), and a child ran it first (`probe`).
//! 2. What runs is a sealed private copy (`stage`), loaded once and never unloaded (`library`).
//! 3. A pointer from a plugin is a claim (`claim`): checked for what can be checked, copied, and dropped.
//! 4. A plugin names things of the host by ids (`id`), never by pointers; a stale id is an error code.
//! 5. Host functions (`services`) are thin: raw to typed in a few lines, then the safe traits of `desk`.
//! 6. Calls into a plugin pass one door (`boundary`), which says to everyone who is being called and why.
#![expect(
    unsafe_code,
    reason = "the border with plugin code, whose functions take raw pointers"
)]

// words
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

// what a plugin asks of the host
pub mod host_api;
pub mod registry;
pub mod wake_table;
pub mod metrics;
pub mod services;

// what the host asks of a plugin
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
