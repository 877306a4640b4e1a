//! The server with a supervisor that answers at once; clients are raw bytes and `curl`.

mod requests;
mod idle;
mod closing;

use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use polyport_api::{Drained, Outcome, Services, Verdict};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::*;
use crate::control::admin::session::{Session, serve_connection};
use polyport_common::tasks::Group;

const SOON: Duration = Duration::from_secs(10);

/// A served socket.
struct Served {
    dir: TempDir,
    _server: Group,
}

impl Served {
    /// With a supervisor that answers at once, except for a `reload`, which it keeps until the end.
    fn start() -> Self {
        let (dir, mut server, mut asked) = Self::bare();
        server.start(async move {
            let mut kept = Vec::new();
            while let Some(request) = asked.recv().await {
                match answer(&request.command) {
                    Some(answer) => drop(request.answer.send(answer)),
                    None => kept.push(request),
                }
                let gone = |request: &Request| request.answer.is_closed();
                kept.retain(|request| !gone(request));
            }
        });
        Self {
            dir,
            _server: server,
        }
    }

    fn bare() -> (TempDir, Group, mpsc::Receiver<Request>) {
        let dir = TempDir::new().unwrap();
        let (admin, asked) = Admin::open(&path(&dir)).unwrap();
        let mut server = Group::new();
        server.start(admin.serve());
        (dir, server, asked)
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(path(&self.dir)).await.unwrap()
    }

    async fn says(&self, request: &str) -> String {
        response_to(self.connect().await, request.as_bytes()).await
    }
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("admin.sock")
}

fn outcome(verdict: Verdict) -> Outcome {
    Outcome {
        id: 7,
        verdict,
        reason: "so it is".to_owned(),
        faults: Vec::new(),
        plan: None,
        milliseconds: 1,
        confirm_within_seconds: None,
    }
}

fn answer(command: &Command) -> Option<Answer> {
    let ended = |verdict| Answer::Outcome(Box::new(outcome(verdict)));
    Some(match command {
        Command::Reload { confirm: None } => return None,
        Command::Reload { .. } => ended(Verdict::Failed),
        Command::Plan => ended(Verdict::Planned),
        Command::Confirm => ended(Verdict::Refused),
        Command::Drain { name, .. } => Answer::Drained(Box::new(Drained {
            outcome: outcome(Verdict::Applied),
            streams: u64::try_from(name.len()).unwrap(),
        })),
        Command::Rollback { plugin } => Answer::Unknown {
            reason: format!("there is no plugin \"{plugin}\""),
            known: vec!["kv".to_owned()],
        },
        Command::Ready => Answer::Ready(Err("it drains".to_owned())),
        Command::Metrics => Answer::Metrics(Metrics {
            families: vec![Family::new("x", "An x.", Kind::Gauge).with(&[], 1.0)],
        }),
        _ => Answer::Services(Services::default()),
    })
}

/// Sends bytes and reads the whole response.
async fn response_to(mut stream: UnixStream, request: &[u8]) -> String {
    // It fails when the server closes the connection meanwhile.
    stream.write_all(request).await.ok();
    rest(&mut stream).await
}

async fn rest(stream: &mut UnixStream) -> String {
    let mut all = Vec::new();
    match timeout(SOON, stream.read_to_end(&mut all)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {}
        other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
    }
    String::from_utf8(all).unwrap()
}

fn once(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
}

fn code(reply: &str) -> &str {
    reply.split(' ').nth(1).unwrap_or_default()
}

fn body(reply: &str) -> Value {
    serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
}
