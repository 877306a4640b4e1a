//! Accept: from listening sockets to connections and datagrams.

mod datagrams;
mod listener;

pub use datagrams::{DatagramListener, OwnSocket};
pub use listener::{Listener, Origin};
