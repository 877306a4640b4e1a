//! Accept: from listening sockets to connections.

mod listener;

pub use listener::{Listener, Origin};
