//! Listening sockets: bound, inherited from the service manager or the old process, and stored with the service manager.

pub mod bind;
pub mod activation;
pub mod fdstore;
