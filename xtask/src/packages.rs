//! The system packages that tasks need: found, installed, or named with the line that installs them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::workspace::succeed;

/// A program that a task starts, and the Debian packages that bring it.
#[derive(Debug)]
pub(crate) struct Tool {
    program: &'static str,
    packages: &'static str,
    /// A word in its help text, where several packages bring a program of this name.
    help_word: Option<&'static str>,
}

const fn tool(program: &'static str, packages: &'static str) -> Tool {
    Tool {
        program,
        packages,
        help_word: None,
    }
}

/// Compiles the plugins that are written in C.
pub(crate) const C_COMPILER: &[Tool] = &[tool("cc", "gcc libc6-dev")];

/// What the lines to try of the demonstration use.
pub(crate) const CLIENTS: &[Tool] = &[NETCAT, tool("socat", "socat")];

/// What the tests start.
pub(crate) const FOR_TESTS: &[Tool] = &[
    tool("cc", "gcc libc6-dev"),
    tool("gcc", "gcc libc6-dev"),
    tool("g++", "g++"),
    NETCAT,
    tool("socat", "socat"),
    tool("busybox", "busybox"),
    tool("strace", "strace"),
    tool("ps", "procps"),
];

/// What the checks of memory need.
pub(crate) const FOR_MEMORY: &[Tool] = &[
    tool("gcc", "gcc libc6-dev"),
    tool("valgrind", "valgrind libc6-dbg"),
];

/// What makes packages for Debian.
pub(crate) const FOR_DEB: &[Tool] = &[
    tool("cc", "gcc libc6-dev"),
    tool("git", "git"),
    tool("make", "make"),
    tool("dpkg-buildpackage", "dpkg-dev"),
    tool("dh", "debhelper"),
];

/// What makes packages for Fedora and its relatives.
pub(crate) const FOR_RPM: &[Tool] = &[
    tool("cc", "gcc libc6-dev"),
    tool("git", "git"),
    tool("rpmbuild", "rpm"),
    tool("find-debuginfo", "debugedit"),
];

/// What the life of the packages is tried with.
pub(crate) const FOR_RIG: &[Tool] = &[
    tool("systemd-nspawn", "systemd-container"),
    tool("mmdebstrap", "mmdebstrap"),
    tool("unshare", "util-linux"),
    tool("dpkg-deb", "dpkg"),
    tool("lintian", "lintian"),
    tool("rpmlint", "rpmlint"),
    tool("jq", "jq"),
    tool("ps", "procps"),
];

/// Its `-N` and `-U` are used, which other programs of the name do not have.
const NETCAT: Tool = Tool {
    program: "nc",
    packages: "netcat-openbsd",
    help_word: Some("OpenBSD"),
};

/// Makes sure that the tools are there: installs them when root on Debian.
///
/// # Errors
/// Names what is missing, and the line that installs it.
pub(crate) fn ensure(tools: &[Tool]) -> Result<()> {
    let Some(missing) = advice(tools) else {
        return Ok(());
    };
    if !is_root() || !on_path("apt-get") {
        bail!("{missing}");
    }
    eprintln!("{missing}");
    succeed(apt_get().arg("update"))?;
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]);
    succeed(install.args(packages(tools)))?;
    match advice(tools) {
        None => Ok(()),
        Some(missing) => bail!("still {missing}"),
    }
}

/// Which tools are missing and how to get them; `None` if all are there.
pub(crate) fn advice(tools: &[Tool]) -> Option<String> {
    let missing = tools.iter().filter(|tool| !tool.is_here());
    let programs: Vec<&str> = missing.map(|tool| tool.program).collect();
    let install = match on_path("apt-get") {
        true => "install by",
        false => "on Debian, install by",
    };
    (!programs.is_empty()).then(|| {
        format!(
            "missing: {}; {install}: sudo apt-get install {}",
            programs.join(", "),
            packages(tools).join(" ")
        )
    })
}

/// The packages of the tools that are missing.
fn packages(tools: &[Tool]) -> Vec<&str> {
    let missing = tools.iter().filter(|tool| !tool.is_here());
    let mut packages: Vec<&str> = missing.flat_map(|tool| tool.packages.split(' ')).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

impl Tool {
    fn is_here(&self) -> bool {
        on_path(self.program) && self.help_word.is_none_or(|word| self.help_contains(word))
    }

    fn help_contains(&self, word: &str) -> bool {
        let help = Command::new(self.program)
            .arg("-h")
            .stdin(Stdio::null())
            .output();
        help.is_ok_and(|help| {
            let text = [help.stdout, help.stderr].concat();
            String::from_utf8_lossy(&text).contains(word)
        })
    }
}

/// Whether a program of that name would be found.
pub(crate) fn on_path(program: &str) -> bool {
    let Some(path) = std::env::var_os("PATH") else {
        return false;
    };
    std::env::split_paths(&path).any(|folder| {
        let file = folder.join(program).metadata();
        file.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    })
}

/// A process's folder in /proc belongs to its effective user.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_tools_are_named_with_the_line_that_installs_them() {
        let tools = [
            tool("sh", "dash"),
            tool("no-such-a", "pkg-b pkg-a"),
            tool("no-such-b", "pkg-a"),
        ];
        let text = advice(&tools).unwrap();
        assert!(
            text.starts_with("missing: no-such-a, no-such-b; "),
            "{text}"
        );
        assert!(text.ends_with("sudo apt-get install pkg-a pkg-b"), "{text}");
        assert_eq!(advice(&[tool("sh", "dash")]), None);
    }

    #[test]
    fn a_program_of_the_same_name_but_another_make_does_not_do() {
        let other = Tool {
            program: "sh",
            packages: "x",
            help_word: Some("no such word in it"),
        };
        assert!(!other.is_here());
    }
}
