//! Programs that run to their end: the daemon with `--check`, and foreign clients.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::wait;

/// How a program ended, and its output.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The exit code; a signal's number plus 128.
    pub code: i32,
    /// Standard output, then standard error.
    pub text: String,
    /// Standard output alone, as bytes.
    pub stdout: Vec<u8>,
}

impl Finished {
    /// The lines that name a fault.
    pub fn faults(&self) -> Vec<&str> {
        let named = |line: &&str| line.contains("error:") || line.contains("\"ERROR\"");
        self.text.lines().filter(named).collect()
    }

    /// Fails the test unless the output holds this, ignoring case.
    #[track_caller]
    pub fn prints(&self, part: &str) -> &Self {
        let found = self.text.to_lowercase().contains(&part.to_lowercase());
        assert!(found, "`{part}` is not said in:\n{}", self.text);
        self
    }

    /// Fails the test unless the output holds one of these, ignoring case.
    #[track_caller]
    pub fn prints_one_of(&self, parts: &[&str]) -> &Self {
        let text = self.text.to_lowercase();
        let found = parts.iter().any(|part| text.contains(&part.to_lowercase()));
        assert!(found, "none of {parts:?} is said in:\n{}", self.text);
        self
    }

    /// Fails the test unless the exit code was this.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "exit code; it said:\n{}", self.text);
        self
    }
}

/// Runs a program with this input to its end; kills it and fails the test after the deadline.
#[track_caller]
pub fn to_end(command: &mut Command, input: &[u8], limit: Duration) -> Finished {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program starts");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A program may end without reading everything.
        stdin.write_all(&input).ok();
    });
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let status = wait::until_or_never(limit, || child.try_wait().unwrap());
    if status.is_none() {
        child.kill().ok();
        child.wait().ok();
    }
    writer.join().unwrap();
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let text = [&stdout[..], &stderr[..]]
        .map(String::from_utf8_lossy)
        .concat();
    let status =
        status.unwrap_or_else(|| panic!("{command:?} did not end within {limit:?}:\n{text}"));
    Finished {
        code: code(status),
        text,
        stdout,
    }
}

fn collect(mut source: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        source.read_to_end(&mut all).ok();
        all
    })
}

/// The exit code, or a signal's number plus 128.
#[must_use]
pub fn code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}
