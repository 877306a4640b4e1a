//! The signals of the daemon: blocked in all threads, read by one.
//!
//! `main` calls [`block_all`] before it starts any thread: each thread inherits the mask, and a signal stays pending
//! until the reader takes it by [`wait`]. A child inherits the mask too (`std::process::Command` restores `SIGPIPE`
//! only), so `TERM` could not stop it: every `Command` goes through [`unblock_in_child`] before it is started.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal as NixSignal, kill};
use nix::unistd::Pid;

use crate::{calls, crash};

/// A signal that the daemon handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Reload.
    Hup,
    /// Stop; a second one stops at once.
    Term,
    /// Stop, from a terminal.
    Int,
    /// Left to the caller.
    Usr1,
    /// Left to the caller.
    Usr2,
}

const PAIRS: [(Signal, NixSignal); 5] = [
    (Signal::Hup, NixSignal::SIGHUP),
    (Signal::Term, NixSignal::SIGTERM),
    (Signal::Int, NixSignal::SIGINT),
    (Signal::Usr1, NixSignal::SIGUSR1),
    (Signal::Usr2, NixSignal::SIGUSR2),
];

/// Blocks the five signals for this thread and all threads that it starts, and ignores `SIGPIPE`. `SEGV` and `BUS`
/// end the process also when they were sent.
///
/// To be called first in `main`: a thread older than this call would take the signal's default action and end the
/// process.
///
/// # Errors
/// None in practice: only those of an invalid set.
pub fn block_all() -> io::Result<()> {
    daemon_set().thread_block()?;
    calls::ignore_sigpipe()?;
    crash::end_when_sent()
}

/// Takes the next pending signal; `None` when `timeout` passed first. Without a timeout it waits for ever.
///
/// Only one thread calls this function. Standard signals do not queue: two `HUP`s before a wait are one.
///
/// # Errors
/// None in practice: only those of an invalid set.
pub fn wait(timeout: Option<Duration>) -> io::Result<Option<Signal>> {
    let set = daemon_set();
    let end = timeout.and_then(|limit| Instant::now().checked_add(limit));
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        match calls::wait_signal(&set, left) {
            Ok(number) => {
                if let Some(signal) = from_number(number) {
                    return Ok(Some(signal));
                }
            }
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes `command` start its program with no signal blocked, as programs expect.
pub fn unblock_in_child(command: &mut Command) -> &mut Command {
    calls::unblock_in_child(command);
    command
}

/// Sends a signal to a process.
///
/// # Errors
/// `ESRCH` when there is no such process, `EPERM`.
pub fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let known = PAIRS.iter().find(|(one, _)| *one == signal);
    let number = i32::try_from(pid).map_err(io::Error::other)?;
    Ok(kill(Pid::from_raw(number), known.map(|(_, raw)| *raw))?)
}

fn daemon_set() -> SigSet {
    PAIRS.iter().map(|(_, signal)| *signal).collect()
}

fn from_number(number: i32) -> Option<Signal> {
    PAIRS
        .iter()
        .find(|(_, known)| *known as i32 == number)
        .map(|(signal, _)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use nix::sys::signal::raise;

    #[test]
    fn signals_are_read_by_the_waiting_thread() {
        block_all().unwrap();
        for (signal, raw) in PAIRS {
            raise(raw).unwrap();
            assert_eq!(wait(Some(Duration::from_secs(5))).unwrap(), Some(signal));
        }
    }

    #[test]
    fn signals_are_sent_to_a_child() {
        let mut command = Command::new("sleep");
        let mut child = crate::testing::spawn(unblock_in_child(command.arg("100")));
        send(child.id(), Signal::Usr2).unwrap();
        let status = child.wait().unwrap();
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(NixSignal::SIGUSR2 as i32));
    }

    #[test]
    fn signals_wait_returns_none_after_the_timeout() {
        block_all().unwrap();
        assert_eq!(wait(Some(Duration::from_millis(5))).unwrap(), None);
        assert_eq!(wait(Some(Duration::ZERO)).unwrap(), None);
    }

    #[test]
    fn signals_mask_is_inherited_unless_cleared() {
        block_all().unwrap();
        let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_ne!(hex_of(&own, "SigBlk:"), 0);
        let pipe = 1 << (NixSignal::SIGPIPE as u64 - 1);
        let plain = status_of(Command::new("cat").arg("/proc/self/status"));
        assert_ne!(
            hex_of(&plain, "SigBlk:"),
            0,
            "std empties it now: our own call can go"
        );
        assert_eq!(hex_of(&plain, "SigIgn:") & pipe, 0);
        let mut free = Command::new("cat");
        let freed = status_of(unblock_in_child(free.arg("/proc/self/status")));
        assert_eq!(hex_of(&freed, "SigBlk:"), 0);
        assert_eq!(hex_of(&freed, "SigIgn:") & pipe, 0);
    }

    fn status_of(command: &mut Command) -> String {
        String::from_utf8(run(command).stdout).unwrap()
    }

    fn hex_of(status: &str, field: &str) -> u64 {
        let line = status.lines().find(|line| line.starts_with(field)).unwrap();
        u64::from_str_radix(line[field.len()..].trim(), 16).unwrap()
    }
}
