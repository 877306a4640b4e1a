//! Accepting: from shared listening sockets to connections of this worker, or of a less busy one.

mod acceptors;
mod balance;
mod listener;

pub(crate) use acceptors::Acceptors;
pub(crate) use listener::LISTENER;
