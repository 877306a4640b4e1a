//! The old process, as the new one sees it. Until the old process has committed the hand-over, the new one is a standby:
//! it sends nothing to the service manager, removes no file, and saves no state.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use polyport_sys::{Inherited, InheritedSocket, PeerAddress, StreamListener, exec_helper};
use tokio::sync::{Mutex, Notify};
use tokio::time::timeout;

use super::channel::Channel;
use super::messages::Message;
use super::{ADMIN, CHANNEL, STDERR};

/// How long the old process may take for an answer. Its own deadlines are shorter.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The descriptors that were passed to this process, by their names.
#[derive(Debug)]
pub struct InheritedFds {
    /// Listening sockets.
    pub sockets: Vec<Inherited>,
    channel: Option<UnixStream>,
    admin: Option<StreamListener>,
}

/// See the module's text.
#[derive(Debug)]
pub struct OldProcess {
    pid: u32,
    /// Locked by whoever receives.
    channel: Mutex<Channel>,
    admin: RefCell<Option<StreamListener>>,
    /// The hand-over is committed.
    over: Cell<bool>,
    committed: Notify,
}

impl InheritedFds {
    /// Sorts what was passed. If an old process passed its standard error, it becomes that of this process.
    pub fn new(passed: Vec<(String, OwnedFd)>) -> Self {
        let mut inherited = Self {
            sockets: Vec::new(),
            channel: None,
            admin: None,
        };
        for (name, fd) in passed {
            match name.as_str() {
                CHANNEL => inherited.channel = Some(fd.into()),
                // It fails for an invalid descriptor only.
                STDERR => exec_helper::redirect_stderr(fd.as_fd()).unwrap_or_default(),
                ADMIN => {
                    if let InheritedSocket::Stream(socket) = Inherited::new(name, fd).socket {
                        inherited.admin = Some(socket);
                    }
                }
                _ => inherited.sockets.push(Inherited::new(name, fd)),
            }
        }
        inherited
    }

    /// The old process, if one passed the descriptors. To be called within a runtime.
    ///
    /// # Errors
    /// The system refuses.
    pub fn old_process(&mut self) -> io::Result<Option<OldProcess>> {
        let Some(channel) = self.channel.take() else {
            return Ok(None);
        };
        let channel = Channel::new(channel)?;
        Ok(Some(OldProcess {
            pid: channel.peer().unwrap_or(0),
            channel: Mutex::new(channel),
            admin: RefCell::new(self.admin.take()),
            over: Cell::new(false),
            committed: Notify::new(),
        }))
    }
}

impl OldProcess {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns whether it has not committed the hand-over yet.
    pub fn serves(&self) -> bool {
        !self.over.get()
    }

    /// Takes its admin socket, if that is at this path.
    pub fn take_admin(&self, path: &Path) -> Option<StreamListener> {
        use std::os::unix::ffi::OsStrExt as _;
        let is_there = |socket: &StreamListener| {
            let address = socket.local_address().ok();
            matches!(address, Some(PeerAddress::Unix(Some(at))) if at == path.as_os_str().as_bytes())
        };
        self.admin.borrow_mut().take_if(|socket| is_there(socket))
    }

    /// Reports that all code is loaded, and waits until all state is saved, in the directory that this process reads.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub async fn await_saved_state(&self, directory: Option<&Path>) -> Result<(), String> {
        let saved = match self.request(&Message::Loaded).await? {
            Message::Saved(None) => return Ok(()),
            Message::Saved(Some(saved)) => saved,
            message => return Err(self.unknown(&message)),
        };
        let reads = directory.map(|directory| directory.display().to_string());
        if reads.as_ref() == Some(&saved) {
            return Ok(());
        }
        let reads = reads.unwrap_or_else(|| "none".to_owned());
        Err(format!(
            "the state is in {saved}, and daemon.state-directory is {reads} now: set it back, or move the files and \
             restart"
        ))
    }

    /// Reports that this process is ready to serve, and waits until it may.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub async fn request_serve(&self) -> Result<(), String> {
        match self.request(&Message::Ready).await? {
            Message::Serve => Ok(()),
            message => Err(self.unknown(&message)),
        }
    }

    /// Reports that this process serves, and waits until the hand-over is committed.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub async fn request_commit(&self) -> Result<(), String> {
        match self.request(&Message::Serving).await? {
            Message::Committed => {}
            message => return Err(self.unknown(&message)),
        }
        self.over.set(true);
        let unused = self.admin.take();
        if let Some(mut socket) = unused
            && let Err(error) = socket.adopt_file().and_then(|()| socket.unlink())
        {
            tracing::warn!(%error, "the admin socket of the process before this one could not be removed");
        }
        Ok(())
    }

    /// Ends the wait of [`Self::committed`].
    pub fn notify_committed(&self) {
        self.committed.notify_one();
    }

    /// Waits until this process has taken over all that it shares with the old one.
    pub async fn committed(&self) {
        self.committed.notified().await;
    }

    /// Reports that this process cannot take over.
    pub async fn send_failure(&self, reason: String) {
        // A closed channel means that the old process is gone.
        let channel = self.channel.lock().await;
        drop(channel.send(&Message::Failed(reason)).await);
    }

    /// Returns whether the process still exists, because it has streams.
    pub fn is_draining(&self) -> bool {
        let channel = self.channel.try_lock();
        channel.is_ok_and(|mut channel| !channel.is_closed())
    }

    /// Stops the process, and waits until it is gone.
    pub async fn stop(&self, limit: Duration) {
        let mut channel = self.channel.lock().await;
        // It may be gone already.
        drop(channel.send(&Message::Stop).await);
        let gone = async { while channel.receive().await.is_some() {} };
        if timeout(limit, gone).await.is_err() {
            tracing::warn!(
                process = self.pid,
                "the process before this one still has streams"
            );
        }
    }

    async fn request(&self, message: &Message) -> Result<Message, String> {
        let gone = || format!("process {}, which was to hand over, has gone", self.pid);
        let mut channel = self.channel.lock().await;
        channel.send(message).await.map_err(|_| gone())?;
        match timeout(ANSWER_TIMEOUT, channel.receive()).await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(gone()),
            Err(_) => Err(format!("process {} does not hand over", self.pid)),
        }
    }

    fn unknown(&self, message: &Message) -> String {
        format!(
            "process {} says `{message}`, which this version does not understand",
            self.pid
        )
    }
}
