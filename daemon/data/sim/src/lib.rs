//! A deterministic simulation of one worker: random work of all kinds against a model of what must hold.
//!
//! A run follows from its seed alone. The worker is driven on the calling thread, turn by turn, with a clock that the
//! run sets; handlers are functions of this crate, called through the ABI; peers are the other ends of real socket
//! pairs. `docs/simulation.md` says how to read a trace.
//!
//! ```text
//! run        the steps of one seed, and its end             run.rs
//! steps      what happens outside of the worker             steps.rs, control.rs, peers.rs
//! handlers   what is called, checked, and asked of the host handler/
//! model      what must hold                                 object.rs, model.rs
//! driver     the worker's interface                         driver.rs
//! ```
#![expect(unsafe_code, reason = "handlers are functions of the ABI")]
#![expect(
    clippy::expect_used,
    clippy::cast_possible_wrap,
    reason = "a program for tests: what cannot be ends it"
)]

mod actor;
mod connections;
mod control;
mod counts;
mod datagrams;
mod driver;
mod handler;
mod model;
mod object;
mod pattern;
mod phases;
mod peers;
mod random;
mod reload;
mod run;
mod steps;
mod trace;
mod simulation;

pub mod many;

pub use run::{Outcome, Setup, Thread};
