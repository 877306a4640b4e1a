//! The single kernel calls that neither nix nor socket2 offers, each behind a safe function.
//!
//! Nothing here keeps state; who wants a typed view finds it in the module that uses the call.
#![expect(
    unsafe_code,
    reason = "sigtimedwait, FIONREAD, SIGPIPE's disposition, a child's mask and _exit have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal};

/// Makes a write to a closed peer an `EPIPE` instead of the end of the process.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: `SIG_IGN` installs no code of ours, so no handler can run at a bad moment.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

/// Waits for one signal of `set`; the errno is `EAGAIN` when `timeout` ran out.
pub(crate) fn wait_signal(set: &SigSet, timeout: Option<Duration>) -> io::Result<i32> {
    let limit = timeout.map(timespec);
    let limit_pointer = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the set and the limit are locals that live across the call, a null `siginfo_t` is
    // allowed, and a null limit means to wait for ever.
    let number = unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), limit_pointer) };
    if number < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(number)
    }
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(duration.subsec_nanos().cast_signed()),
    }
}

/// Makes `command` start its program with no signal blocked.
pub(crate) fn unblock_in_child(command: &mut Command) {
    let unblock = || Ok(SigSet::empty().thread_set_mask()?);
    // SAFETY: between fork and exec the closure makes one async-signal-safe call, allocates nothing
    // and takes no lock; nothing that it uses is borrowed.
    unsafe { command.pre_exec(unblock) };
}

/// The bytes that wait in the receive queue of a stream socket.
pub(crate) fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: `FIONREAD` writes one `int` to its argument, and `count` is one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Ends the process at once: no destructors, no `atexit`, no flushing.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and reads no memory of ours.
    unsafe { libc::_exit(code) }
}
