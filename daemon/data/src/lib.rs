//! The data side: what happens to a byte, a datagram and a snapshot. Read this first.
#![forbid(unsafe_code)]

// parts: state, and questions about it; none calls a plugin
pub mod reason;
pub mod service;
pub mod snapshot;
mod time;
pub mod admit;
pub mod listen;
mod transport;
mod reply;
mod object;

// what the rooms share
mod core;
mod callback;

// rooms, on the way of the data
mod accept;
mod handle;
mod datagram;
mod shut;
mod reload;

// the thread
pub mod worker;

pub use core::{Accepted, Command, Mailbox, Standby};
pub use time::{Clock, ManualClock};
