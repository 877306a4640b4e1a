//! `polyportctl`, the operator's tool: it sends requests to a running daemon over its admin socket and shows the
//! responses.
//!
//! 1. No state and no decisions: the output is the daemon's response, and the exit code is its verdict.
//! 2. The command line is defined in [`cli`] alone; manual and shell completions are generated from it.
//! 3. Every wait has a limit, and a closed output pipe is no error.
#![forbid(unsafe_code)]

pub mod cli;
pub mod request;
pub mod client;
pub mod show;
mod table;
pub mod exit;
