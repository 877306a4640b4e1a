//! A child process runs a plugin before the daemon does: constructors, `init` and `validate` of a damaged or wrong file
//! then end a process that serves nobody. This is the parent's side; `probe_child` is the other.
//!
//! The child gets the sealed copy as its standard input and the socket of `probe_protocol` as its standard output. So it
//! needs no access to its parent.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use polyport_sys::signals::unblock_in_child;
use serde::{Deserialize, Serialize};

use crate::load_error::{ErrorCode, LoadError, one_line};
use crate::probe_exit::{died, overran};
use crate::probe_protocol::{ChildRequest, Outcome, exchange};
use crate::report::Finding;
use crate::stage::Staged;

pub use crate::probe_child::probe_child;
pub use crate::probe_host::table as inert_host;

/// The child to run, and its deadline.
#[derive(Debug, Clone)]
pub struct ProbeRequest {
    /// The daemon's own executable: `/proc/self/exe`.
    pub executable: PathBuf,
    /// The arguments that make it call [`probe_child`].
    pub arguments: Vec<OsString>,
    /// Time from the start of the child to its report.
    pub deadline: Duration,
    /// Configurations for the plugin's `validate`.
    pub validations: Vec<Validation>,
}

impl ProbeRequest {
    /// This very executable with `arguments`, five seconds, nothing to validate.
    pub fn new<A: Into<OsString>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self {
            executable: PathBuf::from("/proc/self/exe"),
            arguments: arguments.into_iter().map(Into::into).collect(),
            deadline: Duration::from_secs(5),
            validations: Vec::new(),
        }
    }
}

/// A configuration, and the handler that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validation {
    /// `None`: the only handler of the plugin.
    pub handler: Option<String>,
    /// The configuration as JSON text.
    pub config_json: String,
}

/// What a plugin offers and how it validated configurations, from a child that ran it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReport {
    /// The plugin's id in reverse domain form.
    pub id: String,
    /// Its version.
    pub version: String,
    /// As SPDX.
    pub license: Option<String>,
    /// In the plugin's order.
    pub handlers: Vec<HandlerSummary>,
    /// One for each validation asked for, in that order.
    pub validations: Vec<Verdict>,
    /// Lines that the plugin logged or wrote to its standard error or output.
    #[serde(skip)]
    pub log: Vec<String>,
}

/// The data of a handler, without its functions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandlerSummary {
    /// The name used in the configuration.
    pub id: String,
    /// A line for people.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub schema: Option<String>,
    /// `PP_HF_*`.
    pub flags: u32,
    /// Does it serve streams?
    pub serves_streams: bool,
    /// Does it serve datagrams?
    pub serves_datagrams: bool,
    /// Version of the state that it writes.
    pub state_version: u32,
    /// Oldest version of state that it reads.
    pub state_min_version: u32,
    /// Does it save state when it stops?
    pub keeps_state: bool,
    /// Has it `import_state` for streams?
    pub imports_streams: bool,
    /// Does it keep no state of a stream?
    pub streams_are_stateless: bool,
}

/// The result of `validate` for one configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The handler; empty when the plugin has none that fits.
    pub handler: String,
    /// What `validate` returned: 0 and above is good.
    pub status: i32,
    /// Its findings, at least one error among them when `status` is below 0.
    pub findings: Vec<Finding>,
}

impl Verdict {
    /// May an instance be created with this configuration?
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.status >= 0 && !self.findings.iter().any(|finding| finding.error)
    }
}

/// Runs `staged` in a child. Blocks until the child has ended: soon after the deadline at the latest.
///
/// # Errors
/// A [`LoadError`] that names the file. Findings of `validate` are no error.
pub fn probe(staged: &Staged, request: &ProbeRequest) -> Result<ProbeReport, LoadError> {
    run(staged, request).map_err(|error| error.of(&staged.path))
}

fn run(staged: &Staged, request: &ProbeRequest) -> Result<ProbeReport, LoadError> {
    let end = Instant::now() + request.deadline;
    let (child, socket) = spawn(staged, request).map_err(|error| {
        let executable = request.executable.display();
        LoadError::new(
            ErrorCode::ProbeFailed,
            format!("cannot run {executable} to probe it: {error}"),
        )
    })?;
    let mut running = Running { log: None, child };
    running.log = running.child.stderr.take().and_then(collect_log);
    let child_request = ChildRequest {
        deadline_ms: u64::try_from(request.deadline.as_millis()).unwrap_or(u64::MAX),
        validations: request.validations.clone(),
    };
    let (step, outcome) = exchange(socket, &child_request, end);
    let (status, log) = running.finish();
    match outcome {
        Outcome::Finished(report) => Ok(ProbeReport { log, ..*report }),
        Outcome::Refused(error) => Err(match log.last() {
            Some(line) => {
                let what = format!("{} (it said: {line})", error.what());
                LoadError::new(error.code(), what)
            }
            None => error,
        }),
        Outcome::Late => Err(overran(&step, request.deadline)),
        Outcome::Malformed => Err(LoadError::new(
            ErrorCode::ProbeFailed,
            "the probe said what cannot be understood",
        )),
        Outcome::Gone => Err(died(&step, status, log.last().map_or("", String::as_str))),
    }
}

fn spawn(staged: &Staged, request: &ProbeRequest) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = Command::new(&request.executable);
    command
        .args(&request.arguments)
        .stdin(staged.file.as_stdin()?)
        .stdout(OwnedFd::from(theirs))
        .stderr(Stdio::piped())
        // A group of its own, so that processes that a constructor starts are killed with it.
        .process_group(0);
    for variable in polyport_sys::inherit::SERVICE_VARIABLES {
        command.env_remove(variable);
    }
    // The child and its own children do not inherit the daemon's signal mask.
    unblock_in_child(&mut command);
    Ok((command.spawn()?, ours))
}

/// A child that is killed and waited for when this is dropped.
struct Running {
    child: Child,
    log: Option<Receiver<Vec<String>>>,
}

impl Running {
    /// Ends the child, unless it has ended. Returns its exit status and log.
    fn finish(mut self) -> (Option<ExitStatus>, Vec<String>) {
        let status = self.end();
        // A process that left the child's group may still hold the pipe.
        let log = self
            .log
            .take()
            .and_then(|log| log.recv_timeout(LOG_PATIENCE).ok());
        (status, log.unwrap_or_default())
    }

    fn end(&mut self) -> Option<ExitStatus> {
        if let Ok(group) = libc::pid_t::try_from(self.child.id()) {
            // SAFETY: takes no memory. The child has not been waited for, so its number, which is
            // that of its group, belongs to nobody else; a dead child keeps its exit status.
            unsafe { libc::kill(-group, libc::SIGKILL) };
        }
        self.child.wait().ok()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `finish` the child is known to be dead and this does nothing to others: std keeps
        // the exit status, and `try_wait` asks for it.
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Reads everything that the child writes to its standard error, and keeps the beginning. `None`, without a log, when the
/// system has no thread left.
fn collect_log(mut pipe: ChildStderr) -> Option<Receiver<Vec<String>>> {
    let (done, wait) = sync_channel(1);
    let collect = move || {
        let mut kept = Vec::new();
        let head = (&mut pipe).take(LOG_MAX).read_to_end(&mut kept);
        let rest = io::copy(&mut pipe, &mut io::sink());
        let text = String::from_utf8_lossy(&kept);
        let mut lines: Vec<_> = text.lines().map(one_line).collect();
        if head.is_err() || rest.is_err() {
            lines.push("(the rest could not be read)".to_owned());
        }
        // The receiver is gone when this took too long.
        done.send(lines).unwrap_or_default();
    };
    let thread = std::thread::Builder::new().name("probe log".to_owned());
    thread.spawn(collect).ok().map(|_| wait)
}

const LOG_MAX: u64 = 64 << 10;
const LOG_PATIENCE: Duration = Duration::from_millis(500);
