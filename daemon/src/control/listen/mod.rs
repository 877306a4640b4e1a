//! Listening sockets: bound, passed at the start, or kept in the store of the service manager.

pub mod bind;
pub mod activation;
pub mod fdstore;
