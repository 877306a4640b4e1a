//! The new process, as the old one sees it: started, read from, and reaped. It does not outlive this value unless it was
//! released, because it has taken over.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use polyport_sys::signals::{self, Signal};
use tokio::net::unix::pipe;
use tokio::time::sleep;

use super::channel::Channel;
use super::executable::Executable;
use super::messages::Message;
use super::{CHANNEL, STDERR};
use crate::control::running::fence::FenceError;

/// How long a process that has failed may take to end by itself: it ends what it has begun.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a killed process may take to end.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval of checks for its end.
const EXIT_POLL: Duration = Duration::from_millis(10);
/// Bytes kept of a line of its standard error.
const LINE_BYTES_MAX: usize = 1024;

/// See the module's text.
#[derive(Debug)]
pub struct NewProcess {
    /// `None` once it was released or reaped.
    child: Option<Child>,
    pid: u32,
    channel: Channel,
    stderr: Option<pipe::Receiver>,
    /// The unfinished line of its standard error.
    partial_line: Vec<u8>,
    last_line: String,
}

/// Why it does not take over.
#[derive(Debug)]
pub(super) enum HandOverError {
    /// It reported a failure.
    Failed(String),
    /// It ended, or closed the channel.
    Closed,
    /// It sent a message that is not of this protocol, or not now.
    Unknown(String),
    /// It was too slow.
    Late(Duration),
    /// This process failed.
    Local(String),
}

impl From<FenceError> for HandOverError {
    fn from(error: FenceError) -> Self {
        Self::Local(error.to_string())
    }
}

impl NewProcess {
    /// Starts what is at the executable's path, and passes it these descriptors.
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

    /// Takes over a child, and this end of its channel.
    fn watch(mut child: Child, channel: UnixStream) -> io::Result<Self> {
        let stderr = child.stderr.take();
        let mut new_process = Self {
            pid: child.id(),
            child: Some(child),
            channel: Channel::new(channel)?,
            stderr: None,
            partial_line: Vec::new(),
            last_line: String::new(),
        };
        // From here on the child does not outlive a failure.
        let stderr = stderr.map(|end| pipe::Receiver::from_owned_fd(end.into()));
        new_process.stderr = stderr.transpose()?;
        Ok(new_process)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its next message, and reads its standard error meanwhile. Cancelling the wait loses nothing.
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
                message = self.channel.receive() => return message,
            }
        }
    }

    /// Sends a message to it.
    pub(super) async fn send(&self, message: &Message) -> Result<(), HandOverError> {
        self.channel
            .send(message)
            .await
            .map_err(|_| HandOverError::Closed)
    }

    /// The process has taken over, and lives on without this one.
    pub(super) fn release(&mut self) {
        self.child = None;
        self.stderr = None;
    }

    /// Stops the process that has taken over, because the daemon was to stop meanwhile.
    pub fn stop(&self) {
        if let Err(error) = signals::send(self.pid, Signal::Term) {
            tracing::warn!(process = self.pid, %error, "the process that has taken over cannot be told to stop");
        }
    }

    /// Ends the process, unless it does so by itself; returns why it did not take over.
    pub(super) async fn end(mut self, error: HandOverError) -> String {
        let timeout = match &error {
            HandOverError::Failed(_) | HandOverError::Closed => EXIT_TIMEOUT,
            HandOverError::Unknown(_) | HandOverError::Late(_) | HandOverError::Local(_) => {
                Duration::ZERO
            }
        };
        let ended = self.wait(timeout).await;
        if ended.is_none()
            && let Some(child) = &mut self.child
        {
            // It may have ended just now.
            child.kill().ok();
        }
        let killed = match ended {
            Some(_) => None,
            None => self.wait(KILL_TIMEOUT).await,
        };
        while self.read_stderr().is_some_and(|count| count != 0) {}
        self.end_of_line();
        let reason = match &error {
            HandOverError::Local(reason) => return reason.clone(),
            HandOverError::Failed(reason) => return format!("process {}: {reason}", self.pid),
            HandOverError::Closed => match ended {
                Some(status) => format!("process {} {} before it served", self.pid, how(status)),
                None => format!("process {} let go of the line, and was killed", self.pid),
            },
            HandOverError::Unknown(line) => format!(
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

    /// Waits for its end, and reaps it.
    async fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + limit;
        loop {
            let child = self.child.as_mut()?;
            // An error means that it was reaped elsewhere.
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
            sleep(EXIT_POLL).await;
        }
    }

    /// Reads from its standard error; returns how much, or `None` when nothing more can come.
    fn read_stderr(&mut self) -> Option<usize> {
        let mut buffer = [0; 1024];
        match self.stderr.as_ref()?.try_read(&mut buffer) {
            Ok(count) if count != 0 => {
                for byte in buffer.iter().take(count) {
                    if *byte == b'\n' {
                        self.end_of_line();
                    } else if self.partial_line.len() < LINE_BYTES_MAX {
                        self.partial_line.push(*byte);
                    }
                }
                Some(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(0),
            Ok(_) | Err(_) => None,
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.partial_line);
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
    /// The hand-over was broken off: the process ends.
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // One that has ended by itself is reaped too.
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
