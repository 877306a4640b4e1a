//! The listening side of the admin socket: who is let in, how many, and the end.

use std::io;
use std::path::Path;
use std::time::Duration;

use polyport_sys::Listening;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

use super::conversation::{Clerk, FAREWELL, converse};
use super::peers::Own;
use super::socket::{Claim, Socket};
use super::{Peer, Request};
use polyport_common::tasks::Group;

/// Connections at one time, and with them requests that wait for control.
const SEATS: usize = 32;
/// Who asks nothing has a seat for so long, at least, when others wait for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// The admin socket. Dropped, it removes its file.
#[derive(Debug)]
pub struct Admin {
    socket: Socket,
    own: Own,
    requests: mpsc::Sender<Request>,
    seats: Vec<Seat>,
    talks: Group,
}

/// One connection as the server sees it. Dropped, it sends the peer away at once.
#[derive(Debug)]
struct Seat {
    since: Instant,
    busy: watch::Receiver<bool>,
    finish: oneshot::Sender<()>,
}

impl Seat {
    fn is_taken(&self) -> bool {
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
        let own = Own::of_this_process();
        Ok(Self::at(Socket::bind(path, own.gid)?, own))
    }

    /// The same on a socket that another process has still: its file is left alone until the [`Claim`] says otherwise.
    ///
    /// # Errors
    /// What the file system says; the system has no more descriptors.
    pub fn take_over(socket: Listening) -> io::Result<(Self, mpsc::Receiver<Request>)> {
        let own = Own::of_this_process();
        Ok(Self::at(Socket::shared(socket)?, own))
    }

    fn at(socket: Socket, own: Own) -> (Self, mpsc::Receiver<Request>) {
        let (requests, asked) = mpsc::channel(SEATS);
        let admin = Self {
            socket,
            own,
            requests,
            seats: Vec::new(),
            talks: Group::new(),
        };
        (admin, asked)
    }

    /// The socket, for who hands it over.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn claim(&self) -> io::Result<Claim> {
        self.socket.claim()
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
                () = self.talks.one_ended() => self.clear(),
                came = self.socket.next() => match came {
                    Ok(stream) => self.seat(stream).await,
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
            seats,
            mut talks,
            ..
        } = self;
        drop(socket);
        for seat in seats {
            // Who has gone by then need not be told.
            seat.finish.send(()).ok();
        }
        // Each keeps its own deadline.
        drop(timeout(FAREWELL * 2, talks.all_ended()).await);
        talks.end().await;
    }

    /// Begins a conversation, if there is a seat or one can be had.
    async fn seat(&mut self, stream: UnixStream) {
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
        if !self.has_room().await {
            let Peer { uid, pid, .. } = peer;
            tracing::warn!(
                uid,
                pid,
                seats = SEATS,
                "admin: every connection waits for a result; one more is refused"
            );
            turn_away(&stream);
            return;
        }
        let (finish, sent_away) = oneshot::channel();
        let (busy, is_busy) = watch::channel(false);
        let clerk = Clerk {
            peer,
            is_admitted,
            requests: self.requests.clone(),
            busy,
        };
        self.seats.push(Seat {
            since: Instant::now(),
            busy: is_busy,
            finish,
        });
        self.talks.start(converse(stream, clerk, sent_away));
    }

    /// Waits for a seat; after a while the first who asks nothing is sent away.
    async fn has_room(&mut self) -> bool {
        let now = Instant::now();
        while self.talks.len() >= SEATS {
            self.clear();
            let idle = self.seats.iter().find(|seat| !*seat.busy.borrow());
            let patience = idle.map_or(now, |seat| seat.since) + PATIENCE;
            if timeout_at(patience, self.talks.one_ended()).await.is_ok() {
                continue;
            }
            let Some(idle) = self.seats.iter().position(|seat| !*seat.busy.borrow()) else {
                return false;
            };
            drop(self.seats.remove(idle));
            self.talks.one_ended().await;
        }
        true
    }

    /// Forgets who has gone, and takes back what was given up for them.
    fn clear(&mut self) {
        self.seats.retain(Seat::is_taken);
        self.socket.restock();
    }
}

/// One line that fits into any socket's buffer; nobody is waited for.
fn turn_away(stream: &UnixStream) {
    let body = "{\"error\": \"every connection waits for a result: try again\"}\n";
    let text = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    drop(stream.try_write(text.as_bytes()));
}
