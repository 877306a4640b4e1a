//! Mail: what other threads hand to a worker. Bounded; who finds it full keeps what it has.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polyport_host::desk::Dial;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::{PeerAddress, Stream, Wakeup};
use tokio::sync::Notify;

use crate::common::shutdown::Phase;
use crate::data::accept::Listener;
use crate::data::admit::Permit;
use crate::data::service::Service;

/// A datagram socket that a worker is to serve.
#[derive(Debug)]
pub struct OpenSocket {
    /// As in the configuration, with a port of 0 resolved.
    pub address: String,
    /// The socket.
    pub socket: OwnSocket,
    /// Who is behind it.
    pub service: Arc<Service>,
}

/// A datagram socket that takes its file along when it goes, whoever has it by then.
#[derive(Debug)]
pub struct OwnSocket(pub DatagramSocket);

impl Deref for OwnSocket {
    type Target = DatagramSocket;

    fn deref(&self) -> &DatagramSocket {
        &self.0
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        // The file is known by its inode, which is ours as long as the socket is open.
        if let Err(error) = self.unlink() {
            tracing::warn!(%error, "a socket's file could not be removed");
        }
    }
}

/// One letter.
#[derive(Debug)]
pub enum Mail {
    /// Serve this listener, together with all other workers.
    Listen(Arc<Listener>),
    /// Serve this socket, alone.
    Receive(Box<OpenSocket>),
    /// Take over a connection that another worker accepted.
    Adopt(Box<Accepted>),
    /// Connect for an instance.
    Dial(Arc<Service>, Dial),
    /// The shutdown has come this far.
    Phase(Phase),
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Stream,
    /// Who made it.
    pub peer: PeerAddress,
    /// Who accepted it.
    pub listener: Arc<Listener>,
    /// Its room.
    pub permit: Permit,
}

/// Most letters that wait; phases come through all the same.
const LETTERS_MAX: usize = 4096;

/// A worker's door for other threads.
#[derive(Debug)]
pub struct Door {
    /// `None` once the worker has ended: nothing is taken any more.
    letters: Mutex<Option<VecDeque<Mail>>>,
    bell: Wakeup,
    /// There may be room for streams again.
    room: AtomicBool,
    /// Streams and draining sockets that live here.
    live: AtomicUsize,
    /// The watchdog saw it stuck in a callback: give it nothing new.
    stuck: AtomicBool,
    /// Rings once the worker has closed its listeners.
    closed: Notify,
}

impl Door {
    /// Opens an empty one.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            letters: Mutex::new(Some(VecDeque::new())),
            bell: Wakeup::new()?,
            room: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
            closed: Notify::new(),
        }))
    }

    /// Puts a letter in.
    ///
    /// # Errors
    /// The door is full or its worker has ended; the letter comes back.
    pub fn post(&self, letter: Mail) -> Result<(), Mail> {
        let mut guard = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(letters) = guard.as_mut() else {
            return Err(letter);
        };
        if letters.len() >= LETTERS_MAX && !matches!(letter, Mail::Phase(_)) {
            return Err(letter);
        }
        letters.push_back(letter);
        drop(guard);
        self.bell.notify();
        Ok(())
    }

    /// Says that there may be room for streams again.
    pub(super) fn tell_room(&self) {
        if !self.room.swap(true, Ordering::AcqRel) {
            self.bell.notify();
        }
    }

    pub(super) fn take_room(&self) -> bool {
        self.room.swap(false, Ordering::AcqRel)
    }

    /// Rings without a letter: something was woken.
    pub fn ring(&self) {
        self.bell.notify();
    }

    /// The bell, to be waited for.
    pub(super) fn bell(&self) -> &Wakeup {
        &self.bell
    }

    pub(super) fn take(&self) -> Option<Mail> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.as_mut()?.pop_front()
    }

    /// Closes the door for good if nothing waits behind it; says whether.
    pub(super) fn close(&self) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = letters.as_ref().is_none_or(VecDeque::is_empty);
        if empty {
            *letters = None;
        }
        empty
    }

    /// Has its worker ended?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// How many live here.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn set_live(&self, live: usize) {
        self.live.store(live, Ordering::Relaxed);
    }

    pub(super) fn tell_listeners_closed(&self) {
        self.closed.notify_one();
    }

    /// Waits until the worker has closed its listeners; for one waiter, once.
    pub async fn listeners_closed(&self) {
        self.closed.notified().await;
    }

    /// Is it stuck in a callback?
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Set by the watchdog.
    pub fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
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
        let first = OwnSocket(bind_unixgram(&path, None, None).unwrap());
        assert!(path.exists());
        std::fs::remove_file(&path).unwrap();
        let second = OwnSocket(bind_unixgram(&path, None, None).unwrap());
        drop(first);
        assert!(path.exists(), "it is the successor's");
        drop(second);
        assert!(!path.exists());
    }
}
