//! Single system calls that neither nix nor socket2 offers, each behind a safe function.
//!
//! No state; typed views are in the modules that use the calls.
#![expect(
    unsafe_code,
    reason = "sigtimedwait, FIONREAD, SO_PEERGROUPS, descriptors by number, SIGPIPE's disposition, a child's mask and \
              descriptors, the environment and _exit have no safe wrapper"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal};

/// Makes a write to a closed peer an `EPIPE` instead of the end of the process.
pub(crate) fn ignore_sigpipe() -> io::Result<()> {
    // SAFETY: `SIG_IGN` installs no handler.
    unsafe { nix::sys::signal::signal(Signal::SIGPIPE, SigHandler::SigIgn) }?;
    Ok(())
}

/// Waits for one signal of `set`; the errno is `EAGAIN` when `timeout` ran out.
pub(crate) fn wait_signal(set: &SigSet, timeout: Option<Duration>) -> io::Result<i32> {
    let limit = timeout.map(timespec);
    let limit_pointer = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the set and the limit are locals that outlive the call; a null `siginfo_t` is allowed, and a null limit
    // means no timeout.
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

/// Keeps descriptors open in the program that `command` starts, under their numbers here.
pub(crate) fn keep_open_in_child(command: &mut Command, fds: Vec<OwnedFd>) {
    let keep = move || {
        for fd in &fds {
            // SAFETY: sets the flags of a descriptor that the closure owns; no memory changes.
            if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes async-signal-safe calls only, allocates nothing and takes no
    // lock; it owns what it uses. The flags change in the child's table: in this process all descriptors stay
    // close-on-exec.
    unsafe { command.pre_exec(keep) };
}

/// Duplicates a descriptor to this number, open across exec; a descriptor at that number is closed.
///
/// To be called by a single-threaded program that is about to exec, for numbers that none of its values owns.
pub(crate) fn place_descriptor(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<()> {
    // SAFETY: `fd` is open. By the function's contract no value owns `number`, so no value is left with another file.
    if unsafe { libc::dup2(fd.as_raw_fd(), number) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The number of bytes in the receive queue of a stream socket.
pub(crate) fn unread_bytes(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: `FIONREAD` writes one `int` to its argument, and `count` is one.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Writes the supplementary groups of a Unix socket's peer into `groups` and returns their number; if the slice is
/// too short, the result is `ERANGE` with the required number.
pub(crate) fn peer_groups(socket: BorrowedFd<'_>, groups: &mut [u32]) -> (io::Result<()>, usize) {
    let bytes = u32::try_from(size_of_val(groups)).unwrap_or(0);
    let mut length: libc::socklen_t = bytes;
    // SAFETY: the kernel writes at most `length` bytes to the slice, which has that length, and the required length
    // to `length`; any bytes are a valid `u32`.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let count = length as usize / size_of::<u32>();
    let done = if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    };
    (done, count)
}

/// Takes over an inherited descriptor by its number; close-on-exec from then on.
pub(crate) fn take_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: reads the flags of a number; a number that is not open is an error.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    // SAFETY: sets a flag of an open descriptor; no memory changes.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open, and was not close-on-exec. Everything that std and this crate open is
    // close-on-exec, so it was inherited and no value owns it. A second call cannot take it: it is close-on-exec now.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Removes variables from the environment if the calling thread is the only one; returns whether it did.
pub(crate) fn remove_variables(names: &[&str]) -> bool {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if alone {
        for name in names {
            // SAFETY: no other thread can access the environment: this is the only one, as counted above, and it
            // starts none.
            unsafe { std::env::remove_var(name) };
        }
    }
    alone
}

/// Ends the process at once: no destructors, no `atexit`, no flushing.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: `_exit` takes any code and reads no memory.
    unsafe { libc::_exit(code) }
}
