//! The HTTP client: one request over the admin socket, one response.

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

/// Above the size of any response.
const ANSWER_BYTES: usize = 64 << 20;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// GET, or POST for a change.
    pub method: Method,
    /// The path with its query.
    pub target: String,
    /// How long to wait for the whole response.
    pub limit: Duration,
}

/// One response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: StatusCode,
    /// The body.
    pub body: String,
}

/// Why there is no response. Its text says what to check.
#[derive(Debug)]
pub enum Error {
    /// The socket cannot be connected.
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// No response within the limit.
    Late {
        /// The socket.
        socket: PathBuf,
        /// The limit.
        limit: Duration,
        /// Whether the request may still be carried out.
        is_change: bool,
    },
    /// The response is malformed.
    Garbled {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with the response.
        reason: String,
    },
}

/// Sends a request to the daemon at this socket.
///
/// # Errors
/// The daemon is unreachable, late, or its response is malformed.
pub async fn send(socket: &Path, request: &HttpRequest) -> Result<HttpResponse, Error> {
    let exchanged = tokio::time::timeout(request.limit, exchange(socket, request));
    exchanged.await.unwrap_or_else(|_| {
        Err(Error::Late {
            socket: socket.to_owned(),
            limit: request.limit,
            is_change: request.method == Method::POST,
        })
    })
}

async fn exchange(socket: &Path, request: &HttpRequest) -> Result<HttpResponse, Error> {
    let garbled = |reason: String| Error::Garbled {
        socket: socket.to_owned(),
        reason,
    };
    let stream = UnixStream::connect(socket).await;
    let stream = stream.map_err(|error| Error::Unreachable {
        socket: socket.to_owned(),
        error,
    })?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| garbled(error.to_string()))?;
    let http = Request::builder()
        .method(request.method.clone())
        .uri(&request.target)
        .header(HOST, "polyport")
        .header(ACCEPT, "application/json, text/plain")
        .body(Empty::<Bytes>::new())
        .map_err(|error| garbled(error.to_string()))?;
    let response = async {
        let reply = sender
            .send_request(http)
            .await
            .map_err(|error| garbled(error.to_string()))?;
        let status = reply.status();
        let body = Limited::new(reply.into_body(), ANSWER_BYTES).collect();
        let body = body.await.map_err(|error| garbled(error.to_string()))?;
        let text = String::from_utf8(body.to_bytes().into());
        let body = text.map_err(|_| garbled("it is no text".to_owned()))?;
        Ok(HttpResponse { status, body })
    };
    let (mut response, mut connection) = (pin!(response), pin!(connection));
    tokio::select! {
        biased;
        result = &mut response => result,
        // The connection has ended, but its response is still to be read.
        _ = &mut connection => response.await,
    }
}

impl fmt::Display for Error {
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

impl std::error::Error for Error {}

/// Who may open the socket, as far as this user can see.
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

/// The name of a group by `/etc/group`; groups of a directory service are shown by number.
fn group_name(gid: u32) -> Option<String> {
    let text = fs::read_to_string("/etc/group").ok()?;
    let fits = |line: &&str| line.split(':').nth(2) == Some(gid.to_string().as_str());
    let line = text.lines().find(fits)?;
    line.split(':').next().map(str::to_owned)
}
