//! Facts about this process, and its immediate end.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::sys::stat::fstat;
use nix::time::{ClockId, clock_gettime};

use crate::calls;

/// Ends the process at once with `code`: no destructors, no `atexit` functions of plugins, no
/// flushing. Flush the logs first.
pub fn exit_now(code: i32) -> ! {
    calls::exit_now(code)
}

/// The processor time that the calling thread has used.
///
/// # Errors
/// Never in practice.
pub fn thread_cpu_time() -> io::Result<Duration> {
    Ok(Duration::from(clock_gettime(
        ClockId::CLOCK_THREAD_CPUTIME_ID,
    )?))
}

/// The monotonic clock in nanoseconds; plugins see it as `CLOCK_MONOTONIC`.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    // The clock exists on every Linux; its value fits for 584 years of uptime.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// The effective user id.
#[must_use]
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// The effective group id.
#[must_use]
pub fn effective_gid() -> u32 {
    nix::unistd::getegid().as_raw()
}

/// Whether `fd` (usually standard error) is the stream that the service manager connected to its
/// journal, by `JOURNAL_STREAM`.
#[must_use]
pub fn is_journal(fd: BorrowedFd<'_>) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|stream| is_stream(fd, &stream))
}

fn is_stream(fd: BorrowedFd<'_>, device_and_inode: &str) -> bool {
    let Ok(found) = fstat(fd) else {
        return false;
    };
    device_and_inode == format!("{}:{}", found.st_dev, found.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn thread_cpu_time_grows_with_work() {
        let before = thread_cpu_time().unwrap();
        let mut turns = 0_u64;
        while thread_cpu_time().unwrap() == before {
            turns += 1;
        }
        assert!(turns < u64::MAX);
    }

    #[test]
    fn journal_stream_is_identified_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let other = tempfile::tempfile().unwrap();
        let found = fstat(&file).unwrap();
        let name = format!("{}:{}", found.st_dev, found.st_ino);
        assert!(is_stream(file.as_fd(), &name));
        assert!(!is_stream(other.as_fd(), &name));
        assert!(!is_stream(file.as_fd(), "nonsense"));
    }

    #[test]
    fn effective_ids_are_those_of_new_files() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().unwrap();
        assert_eq!(effective_uid(), file.metadata().unwrap().uid());
        assert_eq!(effective_gid(), file.metadata().unwrap().gid());
    }
}
