//! A running daemon: its addresses, signals and end, and the checks that it left nothing behind.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::draft::Draft;
use crate::{Log, SOON, events, process, run, wait};

/// A daemon that this test started.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: Log,
    allowed: Vec<String>,
    dir: TempDir,
    draft: Draft,
    exit: Option<i32>,
    /// Its sockets may be held by another process after its end.
    keeps_sockets: bool,
}

/// The configuration's file in the folder of a test.
pub(crate) const CONFIG: &str = "polyport.yaml";
/// The admin socket in the folder of a test.
pub(crate) const ADMIN_SOCKET: &str = "admin.sock";

impl Daemon {
    pub(crate) fn new(
        child: Child,
        log: Log,
        allowed: Vec<String>,
        dir: TempDir,
        draft: Draft,
    ) -> Self {
        Self {
            child,
            log,
            allowed,
            dir,
            draft,
            exit: None,
            keeps_sockets: false,
        }
    }

    pub(crate) fn keeps_sockets(mut self, keeps: bool) -> Self {
        self.keeps_sockets = keeps;
        self
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The folder of this test.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its process; with a wrapper, the wrapper's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first address that a service listens on by this scheme: `tcp`, `udp`.
    #[track_caller]
    pub fn address(&self, scheme: &str, service: &str) -> SocketAddr {
        let fits = |event: &crate::Event| {
            event.has(events::LISTENING, "service", service)
                && event.field("address").starts_with(&format!("{scheme}://"))
        };
        let event = self
            .log
            .wait(&format!("{service} listens by {scheme}"), SOON, fits);
        let (_, address) = event.field("address").split_once("://").unwrap();
        address.parse().expect("the log names an address")
    }

    /// The address of a service by TCP.
    #[track_caller]
    pub fn tcp(&self, service: &str) -> SocketAddr {
        self.address("tcp", service)
    }

    /// The address of a service by UDP.
    #[track_caller]
    pub fn udp(&self, service: &str) -> SocketAddr {
        self.address("udp", service)
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.nix_pid(), signal).expect("the daemon lives");
    }

    /// Sends HUP and waits for the next event that `fits`.
    #[track_caller]
    pub fn hang_up(&self, what: &str, fits: impl Fn(&crate::Event) -> bool) -> crate::Event {
        let before = self.log.events().len();
        self.signal(Signal::SIGHUP);
        wait::until(what, SOON, || {
            self.log
                .events()
                .into_iter()
                .skip(before)
                .find(|event| fits(event))
        })
    }

    /// Writes the changed configuration, without a reload.
    pub fn edit(&mut self, change: impl FnOnce(Draft) -> Draft) {
        self.draft = change(self.draft.clone());
        let next = self.dir.path().join("polyport.yaml.next");
        fs::write(&next, self.draft.yaml()).expect("the configuration can be written");
        fs::rename(&next, self.dir.path().join(CONFIG)).expect("and put in its place");
    }

    /// The current configuration.
    #[must_use]
    pub fn draft(&self) -> Draft {
        self.draft.clone()
    }

    /// Returns whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        self.exit.is_none() && self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the end; returns the exit code, or a signal's number plus 128.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> i32 {
        if let Some(code) = self.exit {
            return code;
        }
        let child = &mut self.child;
        let status = wait::until("the daemon ends", limit, || child.try_wait().unwrap());
        let code = run::code(status);
        self.exit = Some(code);
        self.log.wait_end(Duration::from_secs(2));
        code
    }

    /// Sends TERM and expects a clean end.
    #[track_caller]
    pub fn stop(self) {
        self.stop_with(events::EXIT_CLEAN);
    }

    /// Sends TERM and expects an end with this code.
    #[track_caller]
    pub fn stop_with(mut self, code: i32) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait_exit(SOON), code, "exit code after TERM");
    }

    /// Sends TERM; returns how long the end took, and its code.
    #[track_caller]
    pub fn timed_stop(&mut self) -> (Duration, i32) {
        let begin = Instant::now();
        self.signal(Signal::SIGTERM);
        let code = self.wait_exit(SOON * 2);
        (begin.elapsed(), code)
    }

    fn nix_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Lists what this daemon left behind and a healthy one never leaves.
    fn remains(&self) -> Vec<String> {
        let mut found = Vec::new();
        let events = self.log.events();
        for event in &events {
            let bad = event.level == "ERROR" || event.line.contains("panicked at");
            if bad && !self.allowed.iter().any(|part| event.line.contains(part)) {
                found.push(format!("in the log: {}", event.line));
            }
        }
        let group = self.child.id();
        if wait::until_or_never(SOON / 4, || process::group(group).is_empty().then_some(()))
            .is_none()
        {
            found.push(format!("processes: {:?}", process::group(group)));
        }
        let listened = events.iter().filter(|event| event.is(events::LISTENING));
        for event in listened.filter(|_| !self.keeps_sockets) {
            let port = event
                .field("address")
                .strip_prefix("tcp://")
                .and_then(|rest| rest.parse().ok());
            let port = port.map(|address: SocketAddr| address.port());
            if port.is_some_and(process::tcp_listens) {
                found.push(format!("a socket: {}", event.field("address")));
            }
        }
        found
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.exit.is_none() {
            // It may have ended in between.
            self.child.kill().ok();
            signal::killpg(self.nix_pid(), Signal::SIGKILL).ok();
            self.child.wait().ok();
        }
        let remains = self.remains();
        // Whatever was left goes now, so that it cannot disturb another test.
        signal::killpg(self.nix_pid(), Signal::SIGKILL).ok();
        if thread::panicking() || !remains.is_empty() {
            eprintln!("--- log of the daemon\n{:?}---", self.log);
        }
        if !thread::panicking() && !remains.is_empty() {
            panic!("the daemon left behind:\n  {}", remains.join("\n  "));
        }
    }
}
