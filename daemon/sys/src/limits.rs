//! Resource limits of this process, and those that a probe child sets for itself.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::alarm;

/// Raises the soft limit of open files to the hard limit; returns the soft limit before and after.
///
/// # Errors
/// Errors of `setrlimit`; raising to the hard limit needs no privilege.
pub fn raise_open_files() -> io::Result<(u64, u64)> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok((soft, hard))
}

/// Limits of a child that runs foreign code. They are hard limits: the child cannot raise them.
#[derive(Debug, Clone, Copy)]
pub struct ChildLimits {
    /// Processor time in seconds; beyond it the kernel kills the child.
    pub cpu_seconds: u64,
    /// Address space in bytes, mapped files included.
    pub address_space_bytes: u64,
    /// The largest file that the child may write, in bytes; beyond it `SIGXFSZ`.
    pub file_size_bytes: u64,
    /// Wall-clock seconds until `SIGALRM` ends the child.
    pub alarm_seconds: u32,
}

/// Applies `limits` to the calling process and forbids core dumps. To be called first in the
/// child's `main`.
///
/// # Errors
/// `EPERM` when a hard limit is already lower than the requested one.
pub fn limit_child(limits: ChildLimits) -> io::Result<()> {
    for (resource, value) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, limits.cpu_seconds),
        (Resource::RLIMIT_FSIZE, limits.file_size_bytes),
        (Resource::RLIMIT_AS, limits.address_space_bytes),
    ] {
        setrlimit(resource, value, value)?;
    }
    // Zero would cancel the alarm.
    alarm::set(limits.alarm_seconds.max(1));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::run;
    use std::io::Write;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};

    const ROLE: &str = "POLYPORT_SYS_TEST_ROLE";

    #[test]
    fn limits_raise_open_files_to_the_hard_limit() {
        let (_, now) = raise_open_files().unwrap();
        assert_eq!(raise_open_files().unwrap(), (now, now));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (now, now));
    }

    #[test]
    fn limits_of_a_child_are_enforced() {
        assert!(child("sound").success());
        assert_eq!(child("spin").signal(), Some(libc::SIGKILL));
        assert_eq!(child("stall").signal(), Some(libc::SIGALRM));
        assert_eq!(child("fill").signal(), Some(libc::SIGXFSZ));
        assert!(child("hoard").success());
        assert_eq!(child("leave").code(), Some(71));
    }

    fn child(role: &str) -> ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "limits::tests::child_role", "--nocapture"]);
        run(command.env(ROLE, role)).status
    }

    /// The child of the test above; without the variable it does nothing.
    #[test]
    fn child_role() {
        let Ok(role) = std::env::var(ROLE) else {
            return;
        };
        limit_child(ChildLimits {
            cpu_seconds: 1,
            address_space_bytes: 1 << 30,
            file_size_bytes: 4096,
            alarm_seconds: if role == "stall" { 1 } else { 30 },
        })
        .unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_CORE).unwrap(), (0, 0));
        match role.as_str() {
            "spin" => while std::hint::black_box(true) {},
            "stall" => loop {
                std::thread::park();
            },
            "fill" => {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(&[0; 8192]).unwrap();
            }
            "hoard" => assert!(Vec::<u8>::new().try_reserve(2 << 30).is_err()),
            "leave" => crate::process::exit_now(71),
            _ => {}
        }
    }
}
