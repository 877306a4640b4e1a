//! The way to the daemon: one request over its socket, one answer.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

/// More than any answer has.
const ANSWER_BYTES: usize = 64 << 20;

/// One thing to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// GET, or POST for what changes something.
    pub method: Method,
    /// The path with its query.
    pub target: String,
    /// How long to wait for the whole answer.
    pub limit: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// As HTTP says it.
    pub status: StatusCode,
    /// The text.
    pub body: String,
}

/// Why nothing came back. Shown, it says what to check.
#[derive(Debug)]
pub enum Fault {
    /// Nobody can be reached at the socket.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Nothing came within the limit.
    Late {
        /// The socket.
        socket: PathBuf,
        /// The limit.
        limit: Duration,
        /// What was asked for may still happen.
        is_change: bool,
    },
    /// What came is no answer.
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Asks the daemon at this socket.
///
/// # Errors
/// Nobody is there, nothing comes in time, or what comes is no answer.
pub async fn ask(socket: &Path, question: &Question) -> Result<Answer, Fault> {
    let asked = tokio::time::timeout(question.limit, exchange(socket, question));
    asked.await.unwrap_or_else(|_| {
        Err(Fault::Late {
            socket: socket.to_owned(),
            limit: question.limit,
            is_change: question.method == Method::POST,
        })
    })
}

async fn exchange(socket: &Path, question: &Question) -> Result<Answer, Fault> {
    let garbled = |reason: String| Fault::Garbled {
        socket: socket.to_owned(),
        reason,
    };
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| Fault::Unreachable {
        socket: socket.to_owned(),
        error,
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| garbled(error.to_string()))?;
    let request = Request::builder()
        .method(question.method.clone())
        .uri(&question.target)
        .header(HOST, "polyport")
        .header(ACCEPT, "application/json, text/plain")
        .body(Empty::<Bytes>::new())
        .map_err(|error| garbled(error.to_string()))?;
    let answered = async {
        let reply = sender
            .send_request(request)
            .await
            .map_err(|error| garbled(error.to_string()))?;
        let status = reply.status();
        let body = Limited::new(reply.into_body(), ANSWER_BYTES).collect();
        let body = body.await.map_err(|error| garbled(error.to_string()))?;
        let text = String::from_utf8(body.to_bytes().into());
        let body = text.map_err(|_| garbled("it is no text".to_owned()))?;
        Ok(Answer { status, body })
    };
    let (mut answered, mut connection) = (pin!(answered), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut answered => answer,
        // The connection has ended, and what came over it is still to be read.
        _ = &mut connection => answered.await,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { socket, error } => {
                let path = socket.display();
                match error.kind() {
                    io::ErrorKind::NotFound => write!(
                        out,
                        "there is no socket {path}\n  help: is polyportd running, with `admin: {{socket: {path}}}`? \
                         `--socket PATH` names another"
                    ),
                    io::ErrorKind::ConnectionRefused => write!(
                        out,
                        "nobody answers at {path}\n  help: the daemon that made it has ended; see `systemctl status \
                         polyport`, or name another with `--socket PATH`"
                    ),
                    io::ErrorKind::PermissionDenied => {
                        write!(
                            out,
                            "{path} may not be opened by this user\n  help: {}",
                            rights(socket)
                        )
                    }
                    _ => write!(out, "{path} cannot be reached: {error}"),
                }
            }
            Self::Late {
                socket,
                limit,
                is_change,
            } => {
                let seconds = limit.as_secs_f64();
                let path = socket.display();
                write!(
                    out,
                    "no answer came from {path} within {seconds} s\n  help: "
                )?;
                out.write_str(if *is_change {
                    "what was asked for may still happen: `polyportctl status` tells; `--timeout 10m` waits longer"
                } else {
                    "the daemon may be overloaded or stuck: look into its log"
                })
            }
            Self::Garbled { socket, reason } => write!(
                out,
                "what came from {} is no answer of polyportd: {reason}\n  help: is it the admin socket?",
                socket.display()
            ),
        }
    }
}

impl std::error::Error for Fault {}

/// Who may open the socket, as far as this user can see it.
fn rights(socket: &Path) -> String {
    let Ok(found) = fs::metadata(socket) else {
        let folder = socket.parent().unwrap_or(socket);
        return format!("this user may not even look into {}", folder.display());
    };
    let group = found.gid();
    let group = group_name(group).unwrap_or_else(|| group.to_string());
    format!(
        "be root, the user {} or a member of the group {group}",
        found.uid()
    )
}

/// A group's name as the file of groups has it; those of a directory service are shown by number.
fn group_name(gid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/group").ok()?;
    let fits = |line: &&str| line.split(':').nth(2) == Some(gid.to_string().as_str());
    let line = text.lines().find(fits)?;
    line.split(':').next().map(str::to_owned)
}
