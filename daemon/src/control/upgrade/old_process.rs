//! The process that lets go, as the new one sees it. Until it has, the new process is its guest: it says nothing to the
//! service manager, removes no file, and puts no state to rest.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use polyport_sys::{Inherited, InheritedSocket, Listening, PeerAddress, exec_helper};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::control::upgrade::channel::Channel;
use crate::control::upgrade::messages::Message;
use crate::control::upgrade::{ADMIN, CHANNEL, STDERR};

/// How long the predecessor may take to save all state, and to let go. It has deadlines of its own below that.
const PATIENCE: Duration = Duration::from_secs(10 * 60);

/// What was passed to this process, sorted.
#[derive(Debug)]
pub struct InheritedFds {
    /// Listening sockets.
    pub sockets: Vec<Inherited>,
    channel: Option<UnixStream>,
    admin: Option<Listening>,
}

/// See the module's text.
#[derive(Debug)]
pub struct OldProcess {
    pid: u32,
    /// Locked by who listens.
    channel: Mutex<Channel>,
    admin: RefCell<Option<Listening>>,
    /// It has let go.
    over: Cell<bool>,
}

impl InheritedFds {
    /// Sorts what was passed. From here on standard error is that of the predecessor, if there is one.
    #[must_use]
    pub fn sort(passed: Vec<(String, OwnedFd)>) -> Self {
        let mut inherited = Self {
            sockets: Vec::new(),
            channel: None,
            admin: None,
        };
        for (name, fd) in passed {
            match name.as_str() {
                CHANNEL => inherited.channel = Some(fd.into()),
                // Only what the kernel says to a wrong descriptor.
                STDERR => exec_helper::redirect_stderr(fd.as_fd()).unwrap_or_default(),
                ADMIN => {
                    if let InheritedSocket::Listening(socket) = Inherited::new(name, fd).socket {
                        inherited.admin = Some(socket);
                    }
                }
                _ => inherited.sockets.push(Inherited::new(name, fd)),
            }
        }
        inherited
    }

    /// Was it a process of the daemon that passed them?
    #[must_use]
    pub fn has_predecessor(&self) -> bool {
        self.channel.is_some()
    }

    /// Who passed them, if that was a process of the daemon. To be called within a runtime.
    ///
    /// # Errors
    /// The system has no more of something.
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
        }))
    }
}

impl OldProcess {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Does it serve still, as far as is known here?
    #[must_use]
    pub fn serves(&self) -> bool {
        !self.over.get()
    }

    /// The admin socket, if it is the one at this path.
    #[must_use]
    pub fn take_admin(&self, path: &std::path::Path) -> Option<Listening> {
        use std::os::unix::ffi::OsStrExt as _;
        let is_there = |socket: &Listening| {
            let address = socket.local_address().ok();
            matches!(address, Some(PeerAddress::Unix(Some(at))) if at == path.as_os_str().as_bytes())
        };
        self.admin.borrow_mut().take_if(|socket| is_there(socket))
    }

    /// All code is loaded. Waits until all state is at rest; gives the directory, if there is any.
    ///
    /// # Errors
    /// In one sentence.
    pub async fn persist_state(&self) -> Result<Option<String>, String> {
        match self.ask(&Message::Loaded).await? {
            Message::Saved(directory) => Ok(directory),
            word => Err(self.confused(&word)),
        }
    }

    /// All is ready to serve. Waits until it may.
    ///
    /// # Errors
    /// In one sentence.
    pub async fn let_serve(&self) -> Result<(), String> {
        match self.ask(&Message::Ready).await? {
            Message::Serve => Ok(()),
            word => Err(self.confused(&word)),
        }
    }

    /// All serves. Waits until everything is this process's own.
    ///
    /// # Errors
    /// In one sentence.
    pub async fn let_go(&self) -> Result<(), String> {
        match self.ask(&Message::Serving).await? {
            Message::Committed => {}
            word => return Err(self.confused(&word)),
        }
        self.over.set(true);
        let admin = self.admin.take();
        if let Some(mut left) = admin
            && let Err(error) = left.adopt_file().and_then(|()| left.unlink())
        {
            tracing::warn!(%error, "the admin socket of the process before this one could not be removed");
        }
        Ok(())
    }

    /// This process cannot take over.
    pub async fn fail(&self, reason: String) {
        // Nobody is left to be told if it has gone.
        let channel = self.channel.lock().await;
        drop(channel.send(&Message::Failed(reason)).await);
    }

    /// Are the last of its streams still there?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let channel = self.channel.try_lock();
        channel.is_ok_and(|mut channel| !channel.is_over())
    }

    /// Has it end what is left, and waits until it is gone.
    pub async fn end(&self, limit: Duration) {
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

    async fn ask(&self, word: &Message) -> Result<Message, String> {
        let gone = || format!("process {}, which was to hand over, has gone", self.pid);
        let mut channel = self.channel.lock().await;
        channel.send(word).await.map_err(|_| gone())?;
        match timeout(PATIENCE, channel.receive()).await {
            Ok(Some(word)) => Ok(word),
            Ok(None) => Err(gone()),
            Err(_) => Err(format!("process {} does not hand over", self.pid)),
        }
    }

    fn confused(&self, word: &Message) -> String {
        format!(
            "process {} says `{word}`, which this version does not understand",
            self.pid
        )
    }
}
