//! Passing of descriptors to another program by the `LISTEN_FDS` protocol; [`inherit`](crate::inherit) is the receiving
//! side.
//!
//! `LISTEN_PID` must be the process id of the program, and its descriptors must start at 3. Neither can be arranged
//! safely between fork and exec of a process with threads. So a helper program is started with the descriptors open
//! under [any numbers](keep_in_child), and [executes](exec_with_fds) the real program.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::calls;
use crate::inherit::FIRST;

/// Keeps these descriptors open in the child that `command` starts, and only there; returns their numbers, in order.
pub fn keep_in_child(command: &mut Command, fds: Vec<OwnedFd>) -> Vec<RawFd> {
    let numbers = fds.iter().map(OwnedFd::as_raw_fd).collect();
    calls::keep_open_in_child(command, fds);
    numbers
}

/// Executes `command` in this process and passes it the descriptors of these numbers, in this order. Returns only on
/// failure.
///
/// To be called in `main` of a program with one thread and no open files of its own.
#[must_use]
pub fn exec_with_fds(command: &mut Command, numbers: &[RawFd]) -> io::Error {
    let pid = std::process::id().to_string();
    match move_to_first(numbers) {
        Ok(moved) => {
            command
                .env("LISTEN_PID", &pid)
                .env("LISTEN_FDS", moved.len().to_string());
            if std::env::var_os("WATCHDOG_USEC").is_some() {
                command.env("WATCHDOG_PID", &pid);
            }
            command.exec()
        }
        Err(error) => error,
    }
}

/// Redirects standard error to another file.
///
/// # Errors
/// None in practice: only those of an invalid descriptor.
pub fn redirect_stderr(to: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(to)?)
}

/// Duplicates the descriptors to the numbers from [`FIRST`] on; the returned originals are close-on-exec.
fn move_to_first(numbers: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    let above = FIRST + RawFd::try_from(numbers.len()).unwrap_or(RawFd::MAX - FIRST);
    let mut below = Vec::new();
    let mut lifted = Vec::new();
    for number in numbers {
        // Move it above the numbers that are filled next.
        let mut fd = calls::take_descriptor(*number)?;
        while fd.as_raw_fd() < above {
            let copy = fd.try_clone()?;
            below.push(std::mem::replace(&mut fd, copy));
        }
        lifted.push(fd);
    }
    drop(below);
    for (fd, number) in lifted.iter().zip(FIRST..) {
        calls::place_descriptor(fd.as_fd(), number)?;
    }
    Ok(lifted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inherit::descriptors;
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::process::Stdio;

    /// The variable that selects the role of a child, which runs this test program.
    const ROLE: &str = "POLYPORT_TEST_EXEC_HELPER";

    fn itself(role: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        // One thread runs the test; the harness's own opens nothing meanwhile.
        command
            .args(["--exact", "exec_helper::tests::child_role", "--nocapture"])
            .env(ROLE, role);
        command
    }

    #[test]
    fn exec_helper_keeps_the_order_of_descriptors() {
        let pairs: Vec<_> = (0..7).map(|_| UnixStream::pair().unwrap()).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut command = itself("helper");
        let fds = theirs.into_iter().rev().map(OwnedFd::from).collect();
        let numbers = keep_in_child(&mut command, fds);
        let shown: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        command
            .env("NUMBERS", shown.join(","))
            .env("LISTEN_FDNAMES", "g:f:e:d:c:b:a")
            .env("WATCHDOG_USEC", "1")
            .stdout(Stdio::null());
        let mut child = crate::testing::spawn(&mut command);
        drop(command);
        for (mut end, name) in ours.into_iter().zip("abcdefg".chars()) {
            let mut text = String::new();
            // The end of file shows that no other process holds the other end.
            end.read_to_string(&mut text).unwrap();
            assert_eq!(text, format!("{name} {}", child.id()));
        }
        assert!(child.wait().unwrap().success());
    }

    /// The child of the test above; without the variable it does nothing.
    #[test]
    fn child_role() {
        match std::env::var(ROLE).as_deref() {
            Ok("helper") => {
                let numbers = std::env::var("NUMBERS").unwrap();
                let numbers: Vec<_> = numbers.split(',').map(|one| one.parse().unwrap()).collect();
                panic!("{}", exec_with_fds(&mut itself("program"), &numbers));
            }
            Ok("program") => {
                assert_eq!(std::env::var("WATCHDOG_PID"), std::env::var("LISTEN_PID"));
                for (name, fd) in descriptors() {
                    let mut end = UnixStream::from(fd);
                    write!(end, "{name} {}", std::process::id()).unwrap();
                }
            }
            _ => {}
        }
    }
}
