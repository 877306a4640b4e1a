//! Passing descriptors on to another program, as a service manager does: the other side of [`inherit`](crate::inherit).
//!
//! `LISTEN_PID` wants the number of the process that execs, and the descriptors have to stand from 3 on; neither can be
//! done safely between the fork of a process with threads and its exec. So a small program goes between: it is started
//! with the descriptors open under [any numbers](keep_in_child), and [becomes](become_heir) the one that is meant.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::calls;
use crate::inherit::FIRST;

/// Leaves these descriptors open in the program that `command` starts, and only there; gives their numbers, in order.
pub fn keep_in_child(command: &mut Command, fds: Vec<OwnedFd>) -> Vec<RawFd> {
    let numbers = fds.iter().map(OwnedFd::as_raw_fd).collect();
    calls::keep_open_in_child(command, fds);
    numbers
}

/// Becomes the program of `command`, with the descriptors of these numbers passed to it in this order. Returns only if
/// that fails.
///
/// To be called in the `main` of a program that has one thread and has opened nothing.
#[must_use]
pub fn become_heir(command: &mut Command, numbers: &[RawFd]) -> io::Error {
    let pid = std::process::id().to_string();
    match place(numbers) {
        Ok(placed) => {
            command
                .env("LISTEN_PID", &pid)
                .env("LISTEN_FDS", placed.len().to_string());
            if std::env::var_os("WATCHDOG_USEC").is_some() {
                command.env("WATCHDOG_PID", &pid);
            }
            command.exec()
        }
        Err(error) => error,
    }
}

/// Leads standard error to another file.
///
/// # Errors
/// Only what the kernel says to a wrong descriptor, so never in practice.
pub fn redirect_stderr(to: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::unistd::dup2_stderr(to)?)
}

/// Puts the descriptors from [`FIRST`] on. Those that are given are close-on-exec.
fn place(numbers: &[RawFd]) -> io::Result<Vec<OwnedFd>> {
    let above = FIRST + RawFd::try_from(numbers.len()).unwrap_or(RawFd::MAX - FIRST);
    let mut below = Vec::new();
    let mut lifted = Vec::new();
    for number in numbers {
        // Out of the way of the places that are filled next.
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

    /// Says to this test program, started anew, which part it plays.
    const ROLE: &str = "POLYPORT_TEST_PASS";

    fn itself(part: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        // One thread for the tests: the harness has one more, which opens nothing meanwhile.
        command
            .args(["--exact", "pass::tests::play_the_part", "--nocapture"])
            .env(ROLE, part);
        command
    }

    #[test]
    fn descriptors_go_through_two_programs_in_their_order() {
        let pairs: Vec<_> = (0..7).map(|_| UnixStream::pair().unwrap()).collect();
        let (ours, theirs): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        let mut command = itself("between");
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
            let mut said = String::new();
            // It ends, so nobody else holds the other end.
            end.read_to_string(&mut said).unwrap();
            assert_eq!(said, format!("{name} {}", child.id()));
        }
        assert!(child.wait().unwrap().success());
    }

    /// Does nothing, unless it is started by the test above.
    #[test]
    fn play_the_part() {
        match std::env::var(ROLE).as_deref() {
            Ok("between") => {
                let numbers = std::env::var("NUMBERS").unwrap();
                let numbers: Vec<_> = numbers.split(',').map(|one| one.parse().unwrap()).collect();
                panic!("{}", become_heir(&mut itself("heir"), &numbers));
            }
            Ok("heir") => {
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
