//! A host for the unit tests of handlers: it records what a handler writes, sends and logs, and calls
//! the handler as the daemon does.
//!
//! No sockets and no clock: a test plays the peer and the time. Only with the feature `testing`.

mod driver;
mod reload;
mod test_host;
mod table;

pub use driver::{DataResult, Driver};
pub use table::raw_host;
pub use test_host::{Closed, LogLine, SentDatagram, TestHost, Timer, recorded};
