//! A listener: a bound stream socket and the service behind it. All workers share the one socket, so any live
//! worker accepts, and a stuck one keeps nobody waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use polyport_sys::PeerAddress;
use polyport_sys::listen::Listening;

use crate::data::service::Service;

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
    /// That it is closed was said.
    pub closed: AtomicBool,
}

impl Listener {
    /// Refuses all who come, though a worker that is stuck still holds the socket.
    pub fn refuse(&self) {
        if let Err(error) = self.socket.refuse() {
            tracing::warn!(address = self.address, %error, "the listener could not be closed");
        }
        self.close();
    }

    /// Removes what it has in the file system, and says that it is closed; once.
    fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.origin == Origin::Bound
            && let Err(error) = self.socket.unlink()
        {
            tracing::warn!(address = self.address, %error, "the socket's file could not be removed");
        }
        let service = &self.service.name;
        tracing::info!(service, address = self.address, "listener closed");
    }
}

impl Drop for Listener {
    /// The last worker has closed it: nobody is refused later than this line says.
    fn drop(&mut self) {
        self.close();
    }
}
