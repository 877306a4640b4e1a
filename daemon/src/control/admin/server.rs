//! The admin server: accepts connections, bounds their number, and closes them.

use std::io;
use std::path::Path;
use std::time::Duration;

use polyport_sys::StreamListener;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::control::admin::access::AllowedPeers;
use crate::control::admin::session::{CLOSE_GRACE, Session, serve_connection};
use crate::control::admin::socket::{Socket, SocketHandle};
use crate::control::admin::{PeerCredentials, Request};
use polyport_common::tasks::Group;

/// Most connections at one time, and most requests in the channel.
const SLOTS: usize = 32;
/// Age at which an idle connection may be closed for a new one.
const EVICT_AFTER: Duration = Duration::from_secs(1);
/// See the module's text. Dropping it removes the file of the socket.
#[derive(Debug)]
pub struct Admin {
    socket: Socket,
    own: AllowedPeers,
    requests: mpsc::Sender<Request>,
    slots: Vec<Slot>,
    sessions: Group,
}

/// A connection. Dropping the slot closes it at once.
#[derive(Debug)]
struct Slot {
    since: Instant,
    busy: watch::Receiver<bool>,
    finish: oneshot::Sender<()>,
}

impl Slot {
    fn is_open(&self) -> bool {
        self.busy.has_changed().is_ok()
    }
}

impl Admin {
    /// Binds the socket, accessible to the user and group of the daemon. A file that no process listens on is replaced.
    /// When the returned receiver of requests is dropped, [`Self::serve`] ends. To be called within a runtime.
    ///
    /// # Errors
    /// `EADDRINUSE` when another process listens there, `AlreadyExists` when the file is no socket, or another error of
    /// the file system.
    pub fn open(path: &Path) -> io::Result<(Self, mpsc::Receiver<Request>)> {
        let own = AllowedPeers::of_this_process();
        Ok(Self::at(Socket::bind(path, own.gid)?, own))
    }

    /// Uses a socket that another process has too: the file stays until [`SocketHandle::set_shared`] is called.
    ///
    /// # Errors
    /// The file cannot be found; the system has no more descriptors.
    pub fn take_over(socket: StreamListener) -> io::Result<(Self, mpsc::Receiver<Request>)> {
        let own = AllowedPeers::of_this_process();
        Ok(Self::at(Socket::shared(socket)?, own))
    }

    fn at(socket: Socket, own: AllowedPeers) -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(SLOTS);
        let admin = Self {
            socket,
            own,
            requests,
            slots: Vec::new(),
            sessions: Group::new(),
        };
        (admin, asked)
    }

    /// A handle of the socket, for a hand-over.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn handle(&self) -> io::Result<SocketHandle> {
        self.socket.handle()
    }

    /// Waits until the receiver of requests was dropped.
    pub async fn closed(&self) {
        self.requests.closed().await;
    }

    /// Serves until the receiver of requests was dropped. Answers that exist by then are still sent, within a bounded
    /// time.
    pub async fn serve(mut self) {
        let requests = self.requests.clone();
        loop {
            tokio::select! {
                // Checked first: a connection may be for the other process that has the socket.
                biased;
                () = requests.closed() => break,
                () = self.sessions.one_ended() => self.clear(),
                came = self.socket.next() => match came {
                    Ok(stream) => self.slot(stream).await,
                    Err(error) => {
                        tracing::error!(%error, "the admin socket has failed; the daemon serves on without it");
                        requests.closed().await;
                        break;
                    }
                },
            }
        }
        self.close().await;
    }

    /// Removes the file, then lets connections finish their present request.
    async fn close(self) {
        let Self {
            socket,
            slots,
            mut sessions,
            ..
        } = self;
        drop(socket);
        for slot in slots {
            // An error means that it has ended.
            slot.finish.send(()).ok();
        }
        // Each connection has its own deadline.
        drop(timeout(CLOSE_GRACE * 2, sessions.all_ended()).await);
        sessions.end().await;
    }

    /// Starts a session, if there is a free slot or one can be freed.
    async fn slot(&mut self, stream: UnixStream) {
        let peer = match PeerCredentials::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "admin: the kernel does not say who has connected; they are sent away");
                return;
            }
        };
        let is_allowed = self.own.allows(&peer);
        if !is_allowed {
            let PeerCredentials { uid, gid, pid, .. } = peer;
            tracing::warn!(
                uid,
                gid,
                pid,
                "admin: a peer that may not ask has connected; it gets 403"
            );
        }
        if !self.has_slot().await {
            let PeerCredentials { uid, pid, .. } = peer;
            tracing::warn!(
                uid,
                pid,
                seats = SLOTS,
                "admin: every connection waits for a result; one more is refused"
            );
            refuse(&stream);
            return;
        }
        let (finish, close_requested) = oneshot::channel();
        let (busy, is_busy) = watch::channel(false);
        let session = Session {
            peer,
            is_allowed,
            requests: self.requests.clone(),
            busy,
        };
        self.slots.push(Slot {
            since: Instant::now(),
            busy: is_busy,
            finish,
        });
        self.sessions
            .start(serve_connection(stream, session, close_requested));
    }

    /// Waits for a free slot; the oldest idle connection is closed for it once it has reached its age. Returns whether
    /// there is one.
    async fn has_slot(&mut self) -> bool {
        let now = Instant::now();
        while self.sessions.len() >= SLOTS {
            self.clear();
            let idle = self.slots.iter().find(|slot| !*slot.busy.borrow());
            let patience = idle.map_or(now, |slot| slot.since) + EVICT_AFTER;
            if timeout_at(patience, self.sessions.one_ended())
                .await
                .is_ok()
            {
                continue;
            }
            let Some(idle) = self.slots.iter().position(|slot| !*slot.busy.borrow()) else {
                return false;
            };
            drop(self.slots.remove(idle));
            self.sessions.one_ended().await;
        }
        true
    }

    /// Removes the slots of closed connections, and restores the spare descriptor.
    fn clear(&mut self) {
        self.slots.retain(Slot::is_open);
        self.socket.restore_spare();
    }
}

/// Sends a response that fits into any socket buffer, without waiting.
fn refuse(stream: &UnixStream) {
    let body = "{\"error\": \"every connection waits for a result: try again\"}\n";
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    drop(stream.try_write(text.as_bytes()));
}
