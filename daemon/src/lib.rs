//! The daemon: owns sockets, limits, timeouts and the order of shutdown; runs plugins.
//!
//! 1. Control and data plane meet in the snapshot that workers serve, and in the phases of the shutdown.
//! 2. Imports go one way: `main → cli → control → log`; below them the crates `polyport-data`, `polyport-common`.
//! 3. Every wait has a deadline, every queue a bound, every task an owner that awaits it.
//! 4. Every end has one reason, which blames the peer, the plugin, the operator or the host.
//! 5. No unsafe code: `polyport-sys` calls the kernel, `polyport-host` calls plugins.
#![forbid(unsafe_code)]

pub mod cli;
pub mod control;
pub mod log;
