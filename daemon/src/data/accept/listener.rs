//! A listener: a bound stream socket and the service behind it. All workers share the one socket, so any live
//! worker accepts, and a stuck one keeps nobody waiting.

use std::sync::Arc;

use polyport_sys::PeerAddress;
use polyport_sys::listen::Listening;

use crate::data::snapshot::Service;

/// Where a listening socket came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process bound it, and removes the file of a Unix socket when it closes it.
    Bound,
}

/// See the module's text.
#[derive(Debug)]
pub struct Listener {
    /// As in the configuration, with a port of 0 resolved.
    pub address: String,
    /// Our end of each of its connections, if it is the same for all: not for a wildcard address.
    pub local: Option<PeerAddress>,
    /// The socket.
    pub socket: Listening,
    /// Where the socket came from.
    pub origin: Origin,
    /// Who is behind it.
    pub service: Arc<Service>,
}

impl Drop for Listener {
    /// The last worker has closed it: nobody is refused later than this line says.
    fn drop(&mut self) {
        if self.origin == Origin::Bound
            && let Err(error) = self.socket.unlink()
        {
            tracing::warn!(address = self.address, %error, "the socket's file could not be removed");
        }
        tracing::info!(
            service = self.service.name,
            address = self.address,
            "listener closed"
        );
    }
}
