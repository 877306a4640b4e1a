//! Limits of this process, and those that a probe child puts on itself.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::alarm;

/// Raises the soft limit of open files to the hard one; gives the soft limit before and now.
///
/// # Errors
/// What the kernel says; to stay below the hard limit needs no right.
pub fn raise_open_files() -> io::Result<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok((soft, hard))
}

/// What a child that runs foreign code may use. Hard limits: it cannot raise them again.
#[derive(Debug, Clone, Copy)]
pub struct ChildLimits {
    /// Processor time in seconds; past it the kernel kills.
    pub cpu_seconds: u64,
    /// Address space in bytes, mapped files included.
    pub address_space_bytes: u64,
    /// The largest file it may write, in bytes; past it `SIGXFSZ`.
    pub file_size_bytes: u64,
    /// Wall-clock seconds until `SIGALRM` ends it.
    pub alarm_seconds: u32,
}

/// Puts `limits` on the calling process and forbids core dumps. For the first lines of the child's
/// own `main`.
///
/// # Errors
/// `EPERM` when a hard limit is lower already than the one wanted.
pub fn limit_child(limits: ChildLimits) -> io::Result<()> {
    for (resource, value) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_FSIZE, limits.file_size_bytes),
        (Resource::RLIMIT_AS, limits.address_space_bytes),
    ] {
        setrlimit(resource, value, value)?;
    }
    // Zero would take an alarm away instead of ringing at once.
    alarm::set(limits.alarm_seconds.max(1));
    Ok(())
}
