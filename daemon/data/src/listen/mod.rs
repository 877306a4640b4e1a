//! The sockets of the configuration: shared listening sockets, and datagram sockets of one worker each.

mod datagrams;
mod listener;

pub use datagrams::{DatagramListener, OwnSocket};
pub use listener::{Listener, Origin};
