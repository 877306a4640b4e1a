//! Upgrades: an executable of the daemon that a test replaces, and the processes that take over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::signal::{self, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::{Daemon, Event, SOON, binaries, events, wait};

/// A copy of the daemon's executable in a folder of the test.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
}

/// A process that has taken over from the one that a test started.
#[derive(Debug)]
pub struct NewProcess(Pid);

impl Program {
    /// Makes the copy, and makes this process the reaper of new processes of an upgrade.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        set_child_subreaper(true).expect("this process can adopt");
        let path = folder.join("polyportd");
        fs::copy(binaries::polyportd(), &path).expect("the executable can be copied");
        Self { path }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Another version of the daemon, as a package puts it in place.
    pub fn upgrade(&self) {
        let mut bytes = fs::read(binaries::polyportd()).expect("the executable can be read");
        bytes.extend_from_slice(b"another version");
        self.put(&bytes);
    }

    /// A shell script in its place.
    pub fn script(&self, lines: &str) {
        self.put(format!("#!/bin/sh\n{lines}\n").as_bytes());
    }

    /// These bytes in its place.
    pub fn put(&self, bytes: &[u8]) {
        let next = self.path.with_extension("next");
        fs::write(&next, bytes).expect("another executable");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&next, mode).expect("it may be executed");
        fs::rename(&next, &self.path).expect("it takes the place");
    }
}

impl NewProcess {
    /// The new process that this event names.
    #[track_caller]
    fn named(verdict: &Event) -> Self {
        let reason = verdict.field("reason");
        let pid = reason.rsplit(' ').next().and_then(|pid| pid.parse().ok());
        let pid = pid.unwrap_or_else(|| panic!("no process is named: {}", verdict.line));
        Self(Pid::from_raw(pid))
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.0.as_raw().cast_unsigned()
    }

    /// Sends a signal.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal::kill(self.0, signal).expect("it lives");
    }

    /// Waits for its end; returns the exit code, or a signal's number plus 128. The old process has ended before.
    #[track_caller]
    pub fn wait_exit(&self) -> i32 {
        wait::until("the new_process ends", SOON, || {
            match waitpid(self.0, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, code)) => Some(code),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(128 + signal as i32),
                Ok(_) | Err(Errno::ECHILD) => None,
                Err(error) => panic!("it cannot be waited for: {error}"),
            }
        })
    }

    /// Sends TERM and expects a clean end.
    #[track_caller]
    pub fn stop(self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.wait_exit(), events::EXIT_CLEAN, "exit code after TERM");
    }
}

impl Daemon {
    /// Sends USR2 to the serving process, and waits for the outcome.
    #[track_caller]
    pub fn usr2(&self, new_process: Option<&NewProcess>) -> Event {
        let seen = self.log().events().len();
        match new_process {
            Some(new_process) => new_process.signal(Signal::SIGUSR2),
            None => self.signal(Signal::SIGUSR2),
        }
        self.next_event(seen, "the verdict of the hand-over", is_verdict)
    }

    /// The same with HUP, where the executable has changed.
    #[track_caller]
    pub fn hup(&self, new_process: Option<&NewProcess>) -> Event {
        let seen = self.log().events().len();
        match new_process {
            Some(new_process) => new_process.signal(Signal::SIGHUP),
            None => self.signal(Signal::SIGHUP),
        }
        self.next_event(seen, "the verdict of the reload", events::is_reload_verdict)
    }

    /// Expects the upgrade to succeed; returns the new process once it is ready.
    #[track_caller]
    pub fn handed_over(&self, seen: usize, verdict: &Event) -> NewProcess {
        let good = verdict.is(events::HANDED_OVER) || verdict.is(events::RELOAD_APPLIED);
        assert!(good, "{}", verdict.line);
        self.next_event(seen, "the new_process is ready", |event| {
            event.is(events::READY)
        });
        NewProcess::named(verdict)
    }

    /// Upgrades by USR2, and expects success.
    #[track_caller]
    pub fn hand_over(&self, new_process: Option<&NewProcess>) -> NewProcess {
        let seen = self.log().events().len();
        let verdict = self.usr2(new_process);
        self.handed_over(seen, &verdict)
    }
}

fn is_verdict(event: &Event) -> bool {
    [
        events::HANDED_OVER,
        events::HAND_OVER_FAILED,
        events::HAND_OVER_REFUSED,
    ]
    .iter()
    .any(|name| event.is(name))
}
