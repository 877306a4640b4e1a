//! The listening side of the admin socket: who is let in, how many, and the end.

use std::io;
use std::path::Path;
use std::time::Duration;

use polyport_sys::Listening;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use crate::control::admin::access::AllowedPeers;
use crate::control::admin::session::{CLOSE_GRACE, Session, serve_connection};
use crate::control::admin::socket::{Socket, SocketHandle};
use crate::control::admin::{Peer, Request};
use polyport_common::tasks::Group;

/// Connections at one time, and with them requests that wait for control.
const SLOTS: usize = 32;
/// Who asks nothing has a seat for so long, at least, when others wait for one.
const EVICT_AFTER: Duration = Duration::from_secs(1);
/// The admin socket. Dropped, it removes its file.
#[derive(Debug)]
pub struct Admin {
    socket: Socket,
    own: AllowedPeers,
    requests: mpsc::Sender<Request>,
    slots: Vec<Slot>,
    sessions: Group,
}

/// One connection as the server sees it. Dropped, it sends the peer away at once.
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
    /// Binds the socket, open to the daemon's own user and group. To be called within the runtime that serves it. A
    /// file that is left over is replaced if nobody answers on it. What is asked comes out of the other half; once
    /// that is dropped, [`Self::serve`] ends.
    ///
    /// # Errors
    /// `EADDRINUSE` when somebody answers there, `AlreadyExists` when it is no socket, and what the file system says.
    pub fn open(path: &Path) -> io::Result<(Self, mpsc::Receiver<Request>)> {
        let own = AllowedPeers::of_this_process();
        Ok(Self::at(Socket::bind(path, own.gid)?, own))
    }

    /// The same on a socket that another process has still: its file is left alone until the [`SocketHandle`] says otherwise.
    ///
    /// # Errors
    /// What the file system says; the system has no more descriptors.
    pub fn take_over(socket: Listening) -> io::Result<(Self, mpsc::Receiver<Request>)> {
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

    /// The socket, for who hands it over.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn handle(&self) -> io::Result<SocketHandle> {
        self.socket.handle()
    }

    /// Waits until control has dropped its half.
    pub async fn is_over(&self) {
        self.requests.closed().await;
    }

    /// Serves until control has dropped its half; who was answered by then still gets the answer. Never for long after
    /// that.
    pub async fn serve(mut self) {
        let requests = self.requests.clone();
        loop {
            tokio::select! {
                // Nobody is taken from another process that has the socket too.
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

    /// Removes the file, then lets those finish who were answered.
    async fn close(self) {
        let Self {
            socket,
            slots,
            mut sessions,
            ..
        } = self;
        drop(socket);
        for slot in slots {
            // Who has gone by then need not be told.
            slot.finish.send(()).ok();
        }
        // Each keeps its own deadline.
        drop(timeout(CLOSE_GRACE * 2, sessions.all_ended()).await);
        sessions.end().await;
    }

    /// Begins a conversation, if there is a seat or one can be had.
    async fn slot(&mut self, stream: UnixStream) {
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => {
                tracing::warn!(%error, "admin: the kernel does not say who has connected; they are sent away");
                return;
            }
        };
        let is_admitted = self.own.admits(&peer);
        if !is_admitted {
            let Peer { uid, gid, pid, .. } = peer;
            tracing::warn!(
                uid,
                gid,
                pid,
                "admin: a peer that may not ask has connected; it gets 403"
            );
        }
        if !self.has_slot().await {
            let Peer { uid, pid, .. } = peer;
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
            is_admitted,
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

    /// Waits for a seat; after a while the first who asks nothing is sent away.
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

    /// Forgets who has gone, and takes back what was given up for them.
    fn clear(&mut self) {
        self.slots.retain(Slot::is_open);
        self.socket.restore_spare();
    }
}

/// One line that fits into any socket's buffer; nobody is waited for.
fn refuse(stream: &UnixStream) {
    let body = "{\"error\": \"every connection waits for a result: try again\"}\n";
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    drop(stream.try_write(text.as_bytes()));
}
