//! The listening socket of the admin server and its file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyport_sys::accept::{self, AcceptOutcome};
use polyport_sys::{StreamListener, bind_unix};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

/// Between two attempts when the system has no more descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 128;
const MODE: u32 = 0o660;

/// The socket. Dropping it removes its file.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    file: StreamListener,
    /// Released for one connection when the process has no descriptor left, so that the operator can find out why.
    spare: Option<File>,
    /// Another process has the socket too: the file stays.
    shared: Arc<AtomicBool>,
    /// The lack of descriptors was logged.
    exhausted_logged: bool,
}

impl Socket {
    /// Binds the socket, accessible to its owner and to this group.
    pub(super) fn bind(path: &Path, group: u32) -> io::Result<Self> {
        Self::new(bind_unix(path, Some(MODE), Some(group), BACKLOG)?, false)
    }

    /// Uses a socket that another process has too.
    pub(super) fn shared(mut file: StreamListener) -> io::Result<Self> {
        file.adopt_file()?;
        Self::new(file, true)
    }

    fn new(file: StreamListener, shared: bool) -> io::Result<Self> {
        let registered = file
            .as_fd()
            .try_clone_to_owned()
            .and_then(|socket| UnixListener::from_std(socket.into()));
        match registered {
            Ok(listener) => Ok(Self {
                listener,
                file,
                spare: spare(),
                shared: Arc::new(AtomicBool::new(shared)),
                exhausted_logged: false,
            }),
            Err(error) => {
                if !shared {
                    drop(file.unlink());
                }
                Err(error)
            }
        }
    }

    /// A handle for a hand-over.
    pub(super) fn handle(&self) -> io::Result<SocketHandle> {
        let descriptor = self.file.as_fd().try_clone_to_owned()?;
        let shared = Arc::clone(&self.shared);
        Ok(SocketHandle { descriptor, shared })
    }

    /// The next connection. An error means that there will be no further one.
    pub(super) async fn next(&mut self) -> io::Result<UnixStream> {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    self.exhausted_logged = false;
                    return Ok(stream);
                }
                Err(error) => match accept::failure(error) {
                    AcceptOutcome::Exhausted(error) => self.release_spare(error).await,
                    AcceptOutcome::Broken(error) => return Err(error),
                    // Only this connection failed.
                    _ => {}
                },
            }
        }
    }

    /// Opens a spare descriptor again, if there is none.
    pub(super) fn restore_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = spare();
        }
    }

    /// Releases the spare descriptor, or waits a moment if there is none.
    async fn release_spare(&mut self, error: io::Error) {
        if self.spare.take().is_some() {
            return;
        }
        if !std::mem::replace(&mut self.exhausted_logged, true) {
            tracing::warn!(%error, "admin: connections wait until something is given back");
        }
        sleep(RETRY_INTERVAL).await;
        self.restore_spare();
    }
}

/// A handle of the admin socket, for a hand-over to another process.
#[derive(Debug)]
pub struct SocketHandle {
    descriptor: OwnedFd,
    shared: Arc<AtomicBool>,
}

impl SocketHandle {
    /// A copy of the descriptor.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    /// Sets whether another process has the socket too.
    pub fn set_shared(&self, shared: bool) {
        self.shared.store(shared, Ordering::Relaxed);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.shared.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.file.unlink() {
            tracing::warn!(%error, "the admin socket's file could not be removed");
        }
    }
}

/// A descriptor of no use.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
