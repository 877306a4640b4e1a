//! What the tests of several modules need: to wait for a condition, with a limit.

use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until `fd` can be read (or has an end or an error to tell).
pub(crate) fn until_readable(fd: &impl AsFd) {
    until(fd, PollFlags::POLLIN);
}

/// Waits until `fd` can be written (or has an end or an error to tell).
pub(crate) fn until_writable(fd: &impl AsFd) {
    until(fd, PollFlags::POLLOUT);
}

fn until(fd: &impl AsFd, what: PollFlags) {
    let mut list = [PollFd::new(fd.as_fd(), what)];
    let ready = poll(&mut list, PollTimeout::from(10_000_u16)).unwrap();
    assert_eq!(ready, 1, "not ready within ten seconds");
}
