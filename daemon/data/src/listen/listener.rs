//! A listener: a bound stream socket. All workers share it, so any live worker accepts, and a stuck one keeps no
//! connection waiting. Its service is in the snapshot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polyport_sys::PeerAddress;
use polyport_sys::listen::StreamListener;

/// Where a socket came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process bound the socket, and removes the file of a Unix socket when it closes.
    Bound,
    /// Another process bound the socket before this one began, and still has it.
    Inherited,
}

/// See the module's text.
#[derive(Debug)]
pub struct Listener {
    /// As in the configuration, with a port of 0 resolved.
    pub address: String,
    /// The address once more, to be shared by its streams.
    pub(crate) name: Arc<str>,
    /// Our end of each of its connections, if it is the same for all: not for a wildcard address.
    pub local: Option<PeerAddress>,
    /// The socket.
    pub socket: StreamListener,
    /// Where the socket came from.
    pub origin: Origin,
    /// Another process has the socket too, or will: its file is left alone.
    shared: AtomicBool,
    /// The name of its last service, for the log.
    service: Mutex<String>,
    /// Connections are refused: nothing can be accepted any more.
    refused: AtomicBool,
    /// The end of the listener was logged.
    closed: AtomicBool,
}

impl Listener {
    /// Open, and of no service yet.
    #[must_use]
    pub fn new(
        address: String,
        local: Option<PeerAddress>,
        socket: StreamListener,
        origin: Origin,
    ) -> Self {
        Self {
            name: Arc::from(address.as_str()),
            address,
            local,
            socket,
            origin,
            shared: AtomicBool::new(false),
            service: Mutex::default(),
            refused: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Notes which service it serves now.
    pub fn serves(&self, service: &str) {
        let mut name = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        if *name != service {
            service.clone_into(&mut name);
        }
    }

    /// Notes whether another process has the socket too.
    pub fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    fn is_ours(&self) -> bool {
        self.origin == Origin::Bound && !self.shared.load(Ordering::Relaxed)
    }

    /// Refuses connections from now on, even while a stuck worker still holds the socket. Connections to an inherited or
    /// shared socket wait for the process that serves it next.
    pub fn refuse(&self) {
        if self.is_ours() {
            // Set first: a worker may be accepting just now.
            self.refused.store(true, Ordering::Release);
            if let Err(error) = self.socket.refuse() {
                tracing::warn!(address = self.address, %error, "the listener could not be closed");
            }
        }
        self.close();
    }

    /// Was [`refuse`](Self::refuse) called? Then accepts are expected to fail.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// Removes the file of a Unix socket and logs the end; once.
    fn close(&self) {
        if self.closed.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.is_ours()
            && let Err(error) = self.socket.unlink()
        {
            tracing::warn!(address = self.address, %error, "the socket's file could not be removed");
        }
        let service = self.service.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::info!(
            service = *service,
            address = self.address,
            "listener closed"
        );
    }
}

impl Drop for Listener {
    /// The last holder is gone, so no connection is refused later than the log line.
    fn drop(&mut self) {
        self.close();
    }
}
