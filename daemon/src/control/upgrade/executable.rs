//! The program that runs, and how it was started: it is started in the same way when its file has become another one.

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

/// The program that runs, whatever has become of its file.
const RUNNING: &str = "/proc/self/exe";
/// What the kernel adds to the name of a file that is gone.
const GONE: &[u8] = b" (deleted)";
/// What a child is told about its descriptors is its own.
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
    /// With the name that it was called by first.
    words: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
}

/// What tells one file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Executable {
    /// That of this process. To be called in `main`, before variables are removed from the environment.
    #[must_use]
    pub fn of_this_process() -> Self {
        let path = fs::read_link(RUNNING).unwrap_or_default();
        Self {
            path: without_mark(path),
            running: Identity::of(Path::new(RUNNING)),
            words: env::args_os().collect(),
            variables: env::vars_os().collect(),
        }
    }

    /// Where its file was when the process began.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Is there another file at its path than the one that runs? One that is gone says nothing.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let found = Identity::of(&self.path);
        found.is_some() && found != self.running
    }

    /// Starts what is at the path now, with these descriptors and their names. Its standard error is a pipe.
    pub(super) fn start(&self, passed: Vec<(String, OwnedFd)>) -> io::Result<Child> {
        let (names, fds): (Vec<String>, Vec<OwnedFd>) = passed.into_iter().unzip();
        let mut between = Command::new(RUNNING);
        let numbers = exec_helper::keep_in_child(&mut between, fds);
        between
            .args(helper_arguments(&numbers, &self.path, &self.words))
            .env_clear()
            .envs(
                self.variables
                    .iter()
                    .filter(|(name, _)| is_kept(name))
                    .cloned(),
            )
            .env("LISTEN_FDNAMES", names.join(":"))
            .stderr(Stdio::piped());
        signals::unblock_in_child(&mut between).spawn()
    }
}

/// The arguments of the program between: the hidden command, and what it is to do.
#[must_use]
pub fn helper_arguments(numbers: &[RawFd], program: &Path, words: &[OsString]) -> Vec<OsString> {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    let head = [
        "heir".into(),
        "--descriptors".into(),
        numbers.join(",").into(),
        program.into(),
        "--".into(),
    ];
    head.into_iter().chain(words.iter().cloned()).collect()
}

/// Between the daemon and the program that it starts: becomes that program, with the descriptors of these numbers.
/// Returns only if that fails.
#[must_use]
pub fn exec_program(numbers: &[RawFd], program: &Path, words: &[OsString]) -> io::Error {
    let mut command = Command::new(program);
    if let Some((name, arguments)) = words.split_first() {
        command.arg0(name).args(arguments);
    }
    exec_helper::exec_with_fds(&mut command, numbers)
}

fn is_kept(variable: &OsStr) -> bool {
    !OWN_VARIABLES.iter().any(|own| variable == *own)
}

fn without_mark(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(GONE) {
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
    /// A script in place of the daemon.
    pub(super) fn at(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            running: None,
            words: vec!["polyportd".into()],
            variables: env::vars_os().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_at_the_path_is_a_change_and_none_is_not() {
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
    fn this_process_knows_its_file() {
        let own = Executable::of_this_process();
        assert_eq!(own.path(), env::current_exe().unwrap());
        assert!(!own.has_changed());
        let marked = PathBuf::from("/usr/bin/polyportd (deleted)");
        assert_eq!(without_mark(marked), Path::new("/usr/bin/polyportd"));
    }
}
