//! Words that both sides use. Imports nothing above it.

pub mod journal;
pub mod lines;
pub mod log;
pub mod pass;
pub mod shutdown;
pub mod tasks;
