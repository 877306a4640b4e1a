//! The program that runs and how it was started, so that its successor is started in the same way.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use polyport_sys::{exec_helper, signals};

/// The running program, even if its file was replaced or removed.
const SELF_EXE: &str = "/proc/self/exe";
/// Added by the kernel to the path of a removed file.
const DELETED: &[u8] = b" (deleted)";
/// Variables that describe the descriptors of one process; a child gets its own.
const OWN_VARIABLES: [&str; 5] = [
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
    "WATCHDOG_PID",
];

/// See the module's text.
#[derive(Debug)]
pub struct Executable {
    path: PathBuf,
    running: Option<Identity>,
    /// The command line, with the name of the program.
    arguments: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// Tells whether a file is still the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Executable {
    /// The program of this process. To be called in `main`, before variables are removed from the environment.
    pub fn of_this_process() -> Self {
        let path = fs::read_link(SELF_EXE).unwrap_or_default();
        Self {
            path: without_suffix(path),
            running: Identity::of(Path::new(SELF_EXE)),
            arguments: env::args_os().collect(),
            variables: env::vars_os().collect(),
        }
    }

    /// Path of the file when the process was started.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether there is another file at the path now. A removed file is no change.
    pub fn has_changed(&self) -> bool {
        let found = Identity::of(&self.path);
        found.is_some() && found != self.running
    }

    /// Starts what is at the path now, by the exec helper, with these descriptors and their names. Its standard error is
    /// a pipe.
    pub(super) fn start(&self, passed: Vec<(String, OwnedFd)>) -> io::Result<Child> {
        let (names, fds): (Vec<String>, Vec<OwnedFd>) = passed.into_iter().unzip();
        let mut helper = Command::new(SELF_EXE);
        let numbers = exec_helper::keep_in_child(&mut helper, fds);
        helper
            .args(helper_arguments(&numbers, &self.path, &self.arguments))
            .env_clear()
            .envs(
                self.variables
                    .iter()
                    .filter(|(name, _)| is_kept(name))
                    .cloned(),
            )
            .env("LISTEN_FDNAMES", names.join(":"))
            .stderr(Stdio::piped());
        signals::unblock_in_child(&mut helper).spawn()
    }
}

/// The arguments of the exec helper: the hidden command, the descriptors, the program and its command line.
pub fn helper_arguments(
    numbers: &[RawFd],
    program: &Path,
    arguments: &[OsString],
) -> Vec<OsString> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let head = [
        "heir".into(),
        "--descriptors".into(),
        numbers.join(",").into(),
        program.into(),
        "--".into(),
    ];
    head.into_iter().chain(arguments.iter().cloned()).collect()
}

/// The exec helper: replaces itself by the program, with the descriptors of these numbers. Returns only if that fails.
pub fn exec_program(numbers: &[RawFd], program: &Path, arguments: &[OsString]) -> io::Error {
    let mut command = Command::new(program);
    if let Some((name, arguments)) = arguments.split_first() {
        command.arg0(name).args(arguments);
    }
    exec_helper::exec_with_fds(&mut command, numbers)
}

fn is_kept(variable: &OsStr) -> bool {
    !OWN_VARIABLES.iter().any(|own| variable == *own)
}

fn without_suffix(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(DELETED) {
        Some(before) => PathBuf::from(OsString::from_vec(before.to_vec())),
        None => path,
    }
}

impl Identity {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}

#[cfg(test)]
impl Executable {
    /// A script as the program.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            running: None,
            arguments: vec!["polyportd".into()],
            variables: env::vars_os().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executable_has_changed_when_another_file_is_at_its_path() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("daemon");
        fs::write(&path, "one").unwrap();
        let running = Executable {
            running: Identity::of(&path),
            ..Executable::at(&path)
        };
        assert!(!running.has_changed());
        let next = room.path().join("next");
        fs::write(&next, "one").unwrap();
        fs::rename(&next, &path).unwrap();
        assert!(running.has_changed(), "the same bytes in another file");
        fs::remove_file(&path).unwrap();
        assert!(!running.has_changed());
        fs::create_dir(&path).unwrap();
        assert!(!running.has_changed());
    }

    #[test]
    fn executable_of_this_process_is_its_file() {
        let own = Executable::of_this_process();
        assert_eq!(own.path(), env::current_exe().unwrap());
        assert!(!own.has_changed());
        let marked = PathBuf::from("/usr/bin/polyportd (deleted)");
        assert_eq!(without_suffix(marked), Path::new("/usr/bin/polyportd"));
    }
}
