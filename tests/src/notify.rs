//! A service manager for tests: the daemon's notifications, and the sockets that it keeps for the daemon.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::sys::stat::fstat;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::{SOON, wait};

/// How often the reader checks whether the test has ended.
const LOOK: Duration = Duration::from_millis(20);

/// A socket and its name in `LISTEN_FDNAMES`.
#[derive(Debug)]
pub struct Passed {
    /// The name.
    pub name: String,
    /// The socket.
    pub socket: OwnedFd,
}

impl Passed {
    /// A socket under a name.
    #[must_use]
    pub fn new(name: &str, socket: impl Into<OwnedFd>) -> Self {
        Self {
            name: name.to_owned(),
            socket: socket.into(),
        }
    }
}

/// The message that [`binaries::passing`](crate::binaries::passing) reads from its standard input.
#[must_use]
pub fn message(passed: &[Passed]) -> Stdio {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let names: Vec<&str> = passed.iter().map(|one| one.name.as_str()).collect();
    let sockets: Vec<_> = passed.iter().map(|one| one.socket.as_raw_fd()).collect();
    let names = names.join(":");
    let sent = sendmsg::<()>(
        ours.as_raw_fd(),
        &[IoSlice::new(names.as_bytes())],
        &[ControlMessage::ScmRights(&sockets)],
        MsgFlags::empty(),
        None,
    );
    sent.expect("the sockets can be passed");
    Stdio::from(OwnedFd::from(theirs))
}

/// Listens at `NOTIFY_SOCKET`, and keeps sockets as systemd does.
#[derive(Debug)]
pub struct Manager {
    dir: TempDir,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    received: Mutex<Received>,
    more: Condvar,
    over: AtomicBool,
}

#[derive(Debug, Default)]
struct Received {
    messages: Vec<Message>,
    store: Vec<Passed>,
}

/// One message of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub String);

impl Message {
    /// The value of one of its keys: `STATUS`, `READY`.
    #[must_use]
    pub fn word(&self, name: &str) -> Option<&str> {
        self.0
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// The value of a key as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.word(name)?.parse().ok()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.trim_end().replace('\n', " "))
    }
}

impl Default for Manager {
    fn default() -> Self {
        Self::new()
    }
}

impl Manager {
    /// Begins to listen.
    #[must_use]
    pub fn new() -> Self {
        let dir = TempDir::new().expect("a folder for the manager");
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let shared = Arc::new(Shared::default());
        let of_reader = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            while !of_reader.over.load(Ordering::Relaxed) {
                match receive(&socket) {
                    Ok((text, fds)) => of_reader.take(text, fds),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => panic!("the manager cannot hear: {error}"),
                }
            }
        });
        Self {
            dir,
            shared,
            reader: Some(reader),
        }
    }

    /// The value of `NOTIFY_SOCKET`.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("notify")
    }

    /// A folder that outlives the daemons under this manager.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// All messages so far.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        self.shared.received().messages.clone()
    }

    /// Waits for the first message that fits, leaving out the first `seen`; returns it, and the number of messages up to it.
    #[track_caller]
    pub fn wait(
        &self,
        what: &str,
        seen: usize,
        fits: impl Fn(&Message) -> bool,
    ) -> (Message, usize) {
        let deadline = Instant::now() + SOON;
        let mut received = self.shared.received();
        loop {
            let rest = received.messages.iter().enumerate().skip(seen);
            if let Some((index, message)) = rest.into_iter().find(|(_, message)| fits(message)) {
                return (message.clone(), index + 1);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "the manager was not told: {what}; it was told:\n{:#?}",
                received.messages
            );
            let waited = self.shared.more.wait_timeout(received, left);
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a message with this key.
    #[track_caller]
    pub fn wait_word(&self, name: &str, seen: usize) -> (Message, usize) {
        self.wait(name, seen, |message| message.word(name).is_some())
    }

    /// The names of the kept sockets, sorted.
    #[must_use]
    pub fn kept(&self) -> Vec<String> {
        let received = self.shared.received();
        let mut names: Vec<_> = received
            .store
            .iter()
            .map(|kept| kept.name.clone())
            .collect();
        names.sort();
        names
    }

    /// Waits until exactly these names, sorted, are kept.
    #[track_caller]
    pub fn wait_kept<T: AsRef<str>>(&self, names: &[T]) {
        let wanted: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        let kept = wait::until_or_never(SOON, || (self.kept() == wanted).then_some(()));
        assert!(kept.is_some(), "kept are {:?}, not {wanted:?}", self.kept());
    }

    /// The kept sockets, to be passed at the next start; they stay kept.
    #[must_use]
    pub fn passes(&self) -> Vec<Passed> {
        let received = self.shared.received();
        let copy = |kept: &Passed| Passed::new(&kept.name, kept.socket.try_clone().unwrap());
        received.store.iter().map(copy).collect()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let ended = self.reader.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the manager's reader failed");
        }
    }
}

impl Shared {
    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, text: String, fds: Vec<OwnedFd>) {
        let message = Message(text);
        let mut received = self.received();
        let name = message.word("FDNAME").unwrap_or("stored");
        if message.word("FDSTOREREMOVE") == Some("1") {
            received.store.retain(|kept| kept.name != name);
        }
        if message.word("FDSTORE") == Some("1") {
            for socket in fds {
                let same = |kept: &Passed| is_same(&kept.socket, &socket);
                if !received.store.iter().any(same) {
                    received.store.push(Passed::new(name, socket));
                }
            }
        }
        received.messages.push(message);
        drop(received);
        self.more.notify_all();
    }
}

fn is_same(one: &impl AsFd, other: &impl AsFd) -> bool {
    let (one, other) = (fstat(one).unwrap(), fstat(other).unwrap());
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}

fn receive(socket: &UnixDatagram) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut space = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut text)];
    let message = recvmsg(socket, &mut pieces, &mut space, RecvFlags::CMSG_CLOEXEC)?;
    let fds = space
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let text = String::from_utf8_lossy(&text[..message.bytes]).into_owned();
    Ok((text, fds))
}
