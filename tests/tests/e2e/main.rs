//! The tests, one file for each room. A name that begins with `f` and a number is the test of a fault in
//! the list of faults; `cargo xtask test f38` runs those of one fault.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and may say what it measured"
)]

// plugins, before they serve
mod refusal;
mod loading;
mod panics;
// the data side
mod accept;
mod streams;
mod callbacks;
mod dials;
mod datagrams;
mod timeouts;
mod limits;
mod clients;
// the control side
mod lifecycle;
mod shutdown;
mod signals;
mod manager;
mod inherit;
mod state;
mod reload_load;
mod reload_datagrams;
mod logging;
mod command;
mod admin;
// reloads
mod reload_config;
mod reload_code;
mod reload_move;
mod reload_state;
mod reload_meanwhile;
mod reload_fail;
mod reload_undo;
mod reload_rollback;
mod reload_cost;
mod reload_random;
mod drain;
// another executable
mod upgrade;
mod upgrade_state;
mod upgrade_fail;
