//! The daemon: owns sockets, limits, timeouts and the order of shutdown; runs plugins.
//!
//! 1. Control and data are two rooms. They meet in what is served and in the shutdown broadcast.
//! 2. Imports go one way: `main → cli → control → log`; below them the crates `polyport-data`, `polyport-common`.
//! 3. Everything that waits has a deadline, every queue a bound, every task an owner that awaits it.
//! 4. Every end has one reason and one to blame: peer, plugin, operator or host.
//! 5. No unsafe code: the kernel's door is `polyport-sys`, the plugins' door is `polyport-host`.
#![forbid(unsafe_code)]

pub mod cli;
pub mod control;
pub mod log;
