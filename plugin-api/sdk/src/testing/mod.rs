//! A host for the tests of handlers: it keeps what a handler writes, sends and logs, and calls it
//! like the daemon.
//!
//! It serves no sockets and knows no time: a test plays the peer and the clock. Only with the
//! feature `testing`.

mod desk;
mod driver;
mod moving;
mod table;

pub use desk::{Closed, Desk, LogLine, SentDatagram, Timer, desk};
pub use driver::{Driver, Shown};

pub use table::raw_host;
