//! `polyport-load` loads a server and counts, exactly, what a reload, an upgrade or a restart did
//! to its users. How to use it and how to read it: `docs/load.md`.
//!
//! 1. Every attempt ends in exactly one number; a wait that is over is a loss.
//! 2. One thread, one epoll set: a control line is in force when it is acknowledged.
//! 3. Drops and failures of this machine itself are counted apart, and never hidden.
//! 4. It knows nothing of Polyport: any server that sends back what it is sent will do.
#![forbid(unsafe_code)]

mod options;
mod control;
mod load;
mod report;

// the load that never sleeps
mod saturate;

// what is counted, and by which rules
mod tally;
mod generations;
mod field;

// the kinds of load
mod clients;
mod streams;
mod stream;
mod sources;
mod source;

// what they are made of
mod message;
mod dial;
mod drops;
mod poll;

pub use control::Control;
pub use field::Break;
pub use load::{Steering, run};
pub use options::{Options, Reply, Rule};
pub use report::{PhaseReport, Report};
pub use saturate::{Findings, Sending, Shape, Streams as OpenStreams, saturate};
pub use tally::{Connects, Datagrams, Pings, Slowest, Streams, Tally};
