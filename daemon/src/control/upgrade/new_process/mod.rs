//! The process that is to take over, as the old one sees it: what it says, how it ends. Until it has taken over it does
//! not outlive this value.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use polyport_sys::signals::{self, Signal};
use tokio::net::unix::pipe;
use tokio::time::sleep;

use crate::control::upgrade::channel::Channel;
use crate::control::upgrade::executable::Executable;
use crate::control::upgrade::messages::Message;
use crate::control::upgrade::{CHANNEL, STDERR};

/// How long a process that has failed may take to end by itself: it takes leave of what it has begun with.
const LAST_TIME: Duration = Duration::from_secs(5);
/// How long is waited for one that is killed.
const KILL_TIME: Duration = Duration::from_secs(2);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(10);
/// Bytes of a line of its standard error that are kept.
const LINE_BYTES_MAX: usize = 1024;

/// See the module's text.
#[derive(Debug)]
pub struct NewProcess {
    /// `None` once it has taken over, or is gone.
    child: Option<Child>,
    pid: u32,
    channel: Channel,
    stderr: Option<pipe::Receiver>,
    /// What it wrote there that no end of a line has followed.
    begun: Vec<u8>,
    last_line: String,
}

/// Why it does not take over.
#[derive(Debug)]
pub(super) enum HandOverError {
    /// It said so itself.
    Failed(String),
    /// It ended, or let go of the line.
    Gone,
    /// Something that no version says at this place.
    Confused(String),
    /// It has taken too long.
    Late(Duration),
    /// This process cannot let go.
    Here(String),
}

impl NewProcess {
    /// Starts what is at the executable's path, with these sockets.
    pub(super) fn start(
        executable: &Executable,
        mut passed: Vec<(String, OwnedFd)>,
    ) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let stderr = std::os::fd::AsFd::as_fd(&io::stderr()).try_clone_to_owned()?;
        passed.push((CHANNEL.to_owned(), theirs.into()));
        passed.push((STDERR.to_owned(), stderr));
        Self::watch(executable.start(passed)?, ours)
    }

    /// What was started, and our end of the line to it.
    fn watch(mut child: Child, line: UnixStream) -> io::Result<Self> {
        let stderr = child.stderr.take();
        let mut new_process = Self {
            pid: child.id(),
            child: Some(child),
            channel: Channel::new(line)?,
            stderr: None,
            begun: Vec::new(),
            last_line: String::new(),
        };
        // From here on the child does not outlive a failure.
        let stderr = stderr.map(|end| pipe::Receiver::from_owned_fd(end.into()));
        new_process.stderr = stderr.transpose()?;
        Ok(new_process)
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its next word; reads its standard error meanwhile. Nothing is lost when the wait is broken off.
    pub(super) async fn receive(&mut self) -> Option<Message> {
        loop {
            let Some(stderr) = &self.stderr else {
                return self.channel.receive().await;
            };
            tokio::select! {
                biased;
                ready = stderr.readable() => {
                    if ready.is_err() || self.read_stderr().is_none() {
                        self.stderr = None;
                    }
                }
                word = self.channel.receive() => return word,
            }
        }
    }

    /// Says a word to it.
    pub(super) async fn send(&self, word: &Message) -> Result<(), HandOverError> {
        self.channel
            .send(word)
            .await
            .map_err(|_| HandOverError::Gone)
    }

    /// It serves, and lives on without this process.
    pub(super) fn settle(&mut self) {
        self.child = None;
        self.stderr = None;
    }

    /// The daemon was told to stop while it took over.
    pub fn tell_to_stop(&self) {
        if let Err(error) = signals::send(self.pid, Signal::Term) {
            tracing::warn!(process = self.pid, %error, "the process that has taken over cannot be told to stop");
        }
    }

    /// Ends it, unless it does so by itself; says why it did not take over.
    pub(super) async fn end(mut self, trouble: HandOverError) -> String {
        let patience = match &trouble {
            HandOverError::Failed(_) | HandOverError::Gone => LAST_TIME,
            HandOverError::Confused(_) | HandOverError::Late(_) | HandOverError::Here(_) => {
                Duration::ZERO
            }
        };
        let ended = self.wait(patience).await;
        if ended.is_none()
            && let Some(child) = &mut self.child
        {
            // It may have ended just now.
            child.kill().ok();
        }
        let killed = match ended {
            Some(_) => None,
            None => self.wait(KILL_TIME).await,
        };
        while self.read_stderr().is_some_and(|count| count != 0) {}
        self.end_of_line();
        let reason = match &trouble {
            HandOverError::Here(reason) => return reason.clone(),
            HandOverError::Failed(reason) => return format!("process {}: {reason}", self.pid),
            HandOverError::Gone => match ended {
                Some(status) => format!("process {} {} before it served", self.pid, how(status)),
                None => format!("process {} let go of the line, and was killed", self.pid),
            },
            HandOverError::Confused(line) => format!(
                "process {} says `{line}`, which this version does not understand, and was killed",
                self.pid
            ),
            HandOverError::Late(limit) => format!(
                "process {} did not serve within {} s, and was killed",
                self.pid,
                limit.as_secs()
            ),
        };
        if ended.or(killed).is_none() {
            tracing::error!(process = self.pid, "a process that was killed does not end");
        }
        match self.last_line.as_str() {
            "" => reason,
            line => format!("{reason}: {line}"),
        }
    }

    /// Waits for its end; reaps it.
    async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            let child = self.child.as_mut()?;
            // An error says that somebody else has reaped it.
            if let Some(status) = child.try_wait().unwrap_or(Some(ExitStatus::default())) {
                self.child = None;
                return Some(status);
            }
            if Instant::now() >= until {
                return None;
            }
            if self.read_stderr().is_none() {
                self.stderr = None;
            }
            sleep(LOOK).await;
        }
    }

    /// Takes some of what it has written, and says how much; `None` when nothing more can come.
    fn read_stderr(&mut self) -> Option<usize> {
        let mut buffer = [0; 1024];
        match self.stderr.as_ref()?.try_read(&mut buffer) {
            Ok(count) if count != 0 => {
                for byte in buffer.iter().take(count) {
                    if *byte == b'\n' {
                        self.end_of_line();
                    } else if self.begun.len() < LINE_BYTES_MAX {
                        self.begun.push(*byte);
                    }
                }
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Ok(_) | Err(_) => None,
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if !text.is_empty() {
            tracing::warn!(
                process = self.pid,
                "the process that is to take over says: {text}"
            );
            text.clone_into(&mut self.last_line);
        }
    }
}

impl Drop for NewProcess {
    /// The hand-over was broken off: nothing of it stays.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It may have ended by itself; then it is reaped all the same.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests;
