//! A bound datagram socket, served by one worker.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use polyport_sys::datagrams::DatagramSocket;

use super::Origin;

/// See the module's text.
#[derive(Debug)]
pub struct DatagramListener {
    /// As in the configuration, with a port of 0 resolved.
    pub address: String,
    /// The socket.
    pub socket: OwnSocket,
    /// Number of the worker that serves it, for as long as it is open.
    pub worker: u8,
    /// Bytes of receive buffer that the system granted, if it was asked for some.
    pub granted: Option<usize>,
    /// The kernel's count of datagrams that it dropped here; stored by the worker.
    pub dropped_by_kernel: AtomicU32,
}

/// A datagram socket that removes its file when it is dropped.
#[derive(Debug)]
pub struct OwnSocket {
    socket: DatagramSocket,
    origin: Origin,
    /// Another process has the socket too, or will: its file is left alone.
    shared: AtomicBool,
}

impl OwnSocket {
    /// A socket of this origin; the file of an inherited one stays.
    #[must_use]
    pub fn new(socket: DatagramSocket, origin: Origin) -> Self {
        let shared = AtomicBool::new(false);
        Self {
            socket,
            origin,
            shared,
        }
    }

    /// Where it came from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Notes whether another process has the socket too.
    pub fn share(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }

    /// Removes its file, if this process made it.
    pub fn remove_file(&self) {
        if self.origin == Origin::Inherited || self.shared.load(Ordering::Relaxed) {
            return;
        }
        // The file is known by its inode, which is ours as long as the socket is open.
        if let Err(error) = self.socket.unlink() {
            tracing::warn!(%error, "a socket's file could not be removed");
        }
    }
}

impl Deref for OwnSocket {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        &self.socket
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        self.remove_file();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_sys::bind_unixgram;

    #[test]
    fn a_socket_that_nobody_serves_leaves_no_file() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("s");
        let bind = || bind_unixgram(&path, None, None).unwrap();
        let first = OwnSocket::new(bind(), Origin::Bound);
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        let second = OwnSocket::new(bind(), Origin::Bound);
        drop(first);
        assert!(path.exists(), "it is the successor's");
        drop(second);
        assert!(!path.exists());
        drop(OwnSocket::new(bind(), Origin::Inherited));
        assert!(path.exists(), "it is whose who bound it");
        std::fs::remove_file(&path).unwrap();
        let shared = OwnSocket::new(bind(), Origin::Bound);
        shared.share(true);
        drop(shared);
        assert!(path.exists(), "another process has it");
    }
}
