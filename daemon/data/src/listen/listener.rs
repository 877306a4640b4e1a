//! A listener: a bound stream socket. All workers share the one socket, so any live worker accepts, and a stuck one
//! keeps nobody waiting. Which service is behind it is the snapshot's affair.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polyport_sys::PeerAddress;
use polyport_sys::listen::StreamListener;

/// Where a socket came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This process bound it, and removes the file of a Unix socket when it closes it.
    Bound,
    /// Somebody else bound it before this process began, and has it still.
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
    /// Another process serves it too, or is to: what it has in the file system is left alone.
    shared: AtomicBool,
    /// The service that it served last, for the log.
    service: Mutex<String>,
    /// Whoever comes is refused, and nobody can be taken any more.
    refused: AtomicBool,
    /// That it is closed was said.
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

    /// Notes whether another process has the socket too: then it is only let go of here.
    pub fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    fn is_ours(&self) -> bool {
        self.origin == Origin::Bound && !self.shared.load(Ordering::Relaxed)
    }

    /// Refuses all who come, though a worker that is stuck still holds the socket. Who comes to an inherited or shared
    /// one waits for whoever serves it next.
    pub fn refuse(&self) {
        if self.is_ours() {
            // Before it is so: a worker may be at it.
            self.refused.store(true, Ordering::Release);
            if let Err(error) = self.socket.refuse() {
                tracing::warn!(address = self.address, %error, "the listener could not be closed");
            }
        }
        self.close();
    }

    /// Was it told to refuse all who come? Then it fails because it is to.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Acquire)
    }

    /// Removes what it has in the file system, and says that it is closed; once.
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
    /// Nobody has it any more: nobody is refused later than this line says.
    fn drop(&mut self) {
        self.close();
    }
}
