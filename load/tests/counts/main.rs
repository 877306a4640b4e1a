//! The tool against servers that are good, and against servers that fail in known ways and count how
//! often they did: every number of the report must be theirs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

// the tool and its servers
mod tool;
mod lines;
mod datagrams;

// what is counted
mod good;
mod connects;
mod streams;
mod flows;
mod generations;
mod command;
