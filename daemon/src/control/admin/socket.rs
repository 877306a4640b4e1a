//! The listening socket and its file.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use polyport_sys::accept::{self, AcceptOutcome};
use polyport_sys::{Listening, bind_unix};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

/// Between two tries when the system has no more descriptors.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);
const BACKLOG: i32 = 128;
const MODE: u32 = 0o660;

/// Dropped, it removes its file.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    file: Listening,
    /// Params up for one connection when the process has no descriptor left, so that the daemon can be asked why.
    spare: Option<File>,
    /// Another process has it too: its file is left alone.
    shared: Arc<AtomicBool>,
    /// That there are none was said.
    exhausted_logged: bool,
}

impl Socket {
    /// Binds it, open to its owner and to this group.
    pub(super) fn bind(path: &Path, group: u32) -> io::Result<Self> {
        Self::new(bind_unix(path, Some(MODE), Some(group), BACKLOG)?, false)
    }

    /// One that another process has still.
    pub(super) fn shared(mut file: Listening) -> io::Result<Self> {
        file.adopt_file()?;
        Self::new(file, true)
    }

    fn new(file: Listening, shared: bool) -> io::Result<Self> {
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

    /// The same socket, for who hands it over.
    pub(super) fn handle(&self) -> io::Result<SocketHandle> {
        let descriptor = self.file.as_fd().try_clone_to_owned()?;
        let shared = Arc::clone(&self.shared);
        Ok(SocketHandle { descriptor, shared })
    }

    /// The next connection. It fails only if there can be no further one.
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
                    // It concerned that one connection.
                    _ => {}
                },
            }
        }
    }

    /// Takes back what was given up, if it can be had.
    pub(super) fn restore_spare(&mut self) {
        if self.spare.is_none() {
            self.spare = spare();
        }
    }

    /// Gives up what is spare, else waits a moment.
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

/// The admin socket in other hands than those of who answers there.
#[derive(Debug)]
pub struct SocketHandle {
    descriptor: OwnedFd,
    shared: Arc<AtomicBool>,
}

impl SocketHandle {
    /// A copy, to be passed on.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn descriptor(&self) -> io::Result<OwnedFd> {
        self.descriptor.try_clone()
    }

    /// Notes whether another process has the socket too.
    pub fn share(&self, shared: bool) {
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

/// Any descriptor.
fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
