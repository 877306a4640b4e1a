//! Starts a program as a service manager does that passes sockets: `e2e-pass PROGRAM ARGUMENT…`.
//!
//! They come as one message over standard input, with their names as its text. In this process nothing else is open, so
//! that they get the numbers from 3 on; then it becomes the program, under the same process number.
#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a part of a harness fails a test by panicking"
)]

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{self, Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

fn main() {
    let (names, sockets) = received();
    for (number, socket) in (3..).zip(&sockets) {
        assert_eq!(socket.as_raw_fd(), number, "something else is open");
    }
    let mut words = std::env::args_os().skip(1);
    let failed = Command::new(words.next().expect("a program"))
        .args(words)
        .env("LISTEN_PID", process::id().to_string())
        .env("LISTEN_FDS", sockets.len().to_string())
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::null())
        .exec();
    panic!("the program cannot be run: {failed}");
}

fn received() -> (String, Vec<OwnedFd>) {
    let mut text = [0; 8192];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(128))];
    let mut space = RecvAncillaryBuffer::new(&mut space);
    let mut pieces = [IoSliceMut::new(&mut text)];
    // Not close-on-exec: they are for the program.
    let message = recvmsg(io::stdin(), &mut pieces, &mut space, RecvFlags::empty())
        .expect("a message over standard input");
    let sockets = space
        .drain()
        .filter_map(|part| match part {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        })
        .flatten()
        .collect();
    let names = String::from_utf8_lossy(&text[..message.bytes]).into_owned();
    (names, sockets)
}
