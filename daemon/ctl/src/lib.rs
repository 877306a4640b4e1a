//! `polyportctl`: the operator's tool. It asks a running daemon over its admin socket and shows what comes back.
//!
//! 1. It decides nothing and keeps nothing: what it shows is what the daemon said, and its exit code is the verdict.
//! 2. The command line stands in [`cli`] alone; manual and shell completions are generated from it.
//! 3. It never waits without a limit, and never fails for a reader that has gone.
#![forbid(unsafe_code)]

pub mod cli;
pub mod errand;
pub mod client;
pub mod show;
mod table;
pub mod exit;
