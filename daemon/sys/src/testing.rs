//! Test helpers: waits for a condition, with a limit.

use std::os::fd::AsFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{RwLock, RwLockReadGuard};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

static FORKING: RwLock<()> = RwLock::new(());

/// Prevents other tests from starting children: between fork and exec a child holds a copy of every
/// descriptor, so a descriptor closed here would stay open for a moment.
pub(crate) fn no_children() -> RwLockReadGuard<'static, ()> {
    FORKING.read().unwrap()
}

/// Starts a child.
pub(crate) fn spawn(command: &mut Command) -> Child {
    let forking = FORKING.write().unwrap();
    let child = command.spawn().unwrap();
    drop(forking);
    child
}

/// Runs a child to its end.
pub(crate) fn run(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(command).wait_with_output().unwrap()
}

/// Runs a child, whose outputs are set already, to its end.
pub(crate) fn status(command: &mut Command) -> ExitStatus {
    spawn(command).wait().unwrap()
}

/// Waits until `fd` is readable (or has an end or error).
pub(crate) fn until_readable(fd: &impl AsFd) {
    until(fd, PollFlags::POLLIN);
}

/// Waits until `fd` is writable (or has an end or error).
pub(crate) fn until_writable(fd: &impl AsFd) {
    until(fd, PollFlags::POLLOUT);
}

fn until(fd: &impl AsFd, what: PollFlags) {
    let mut list = [PollFd::new(fd.as_fd(), what)];
    let ready = poll(&mut list, PollTimeout::from(10_000_u16)).unwrap();
    assert_eq!(ready, 1, "not ready within ten seconds");
}
