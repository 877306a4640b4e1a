//! The builder of a daemon under test: its configuration, its environment, the errors that it may log.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::daemon::{ADMIN_SOCKET, CONFIG, Daemon};
use crate::draft::Draft;
use crate::notify::{self, Manager, Passed};
use crate::run::{self, Finished};
use crate::{Log, SOON, binaries, events};

/// Where the log goes.
#[derive(Clone, Debug, Default)]
pub enum Stderr {
    /// To the test, which can wait for its events.
    #[default]
    Captured,
    /// Into a pipe without a reader.
    ClosedPipe,
    /// Into a file, such as `/dev/full`.
    File(PathBuf),
}

/// A daemon that has not been started.
#[derive(Debug)]
pub struct Builder {
    dir: TempDir,
    draft: Draft,
    arguments: Vec<OsString>,
    variables: Vec<(String, OsString)>,
    wrapper: Vec<OsString>,
    program: Option<PathBuf>,
    passed: Vec<Passed>,
    keeps_sockets: bool,
    stderr: Stderr,
    allowed: Vec<String>,
}

impl Daemon {
    /// A daemon with an empty configuration.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::new()
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A daemon with an empty configuration and this folder.
    #[must_use]
    pub fn new() -> Self {
        Self {
            dir: TempDir::new().expect("a folder for the test"),
            draft: Draft::default(),
            arguments: Vec::new(),
            variables: Vec::new(),
            wrapper: Vec::new(),
            program: None,
            passed: Vec::new(),
            keeps_sockets: false,
            stderr: Stderr::default(),
            allowed: Vec::new(),
        }
    }

    /// Sets the text of the whole configuration.
    #[must_use]
    pub fn config(self, yaml: impl Into<String>) -> Self {
        self.draft(|draft| draft.whole(yaml))
    }

    /// A log without level debug, for tests with many streams.
    #[must_use]
    pub fn quiet(self) -> Self {
        self.draft(Draft::quiet)
    }

    /// A line under `daemon:`.
    #[must_use]
    pub fn set(self, line: impl Into<String>) -> Self {
        self.draft(|draft| draft.set(line))
    }

    /// An instance of the only handler of a plugin file, without a configuration.
    #[must_use]
    pub fn plugin(self, instance: &str, library: &Path) -> Self {
        self.plugin_with(instance, library, "")
    }

    /// The same with more keys, such as `config: {a: 1}, after: [b]`.
    #[must_use]
    pub fn plugin_with(self, instance: &str, library: &Path, more: &str) -> Self {
        self.draft(|draft| draft.plugin(instance, library, more))
    }

    /// A service: its name, its listeners (between them a comma and a space), its instance.
    #[must_use]
    pub fn service(self, name: &str, listen: &str, handler: &str) -> Self {
        self.service_with(name, listen, handler, "")
    }

    /// The same with more keys, such as `timeouts: {idle: 1s}`.
    #[must_use]
    pub fn service_with(self, name: &str, listen: &str, handler: &str, more: &str) -> Self {
        self.draft(|draft| draft.service(name, listen, handler, more))
    }

    /// An admin socket in the folder of this test, for [`Daemon::ctl`].
    #[must_use]
    pub fn admin(self) -> Self {
        let socket = self.dir.path().join(ADMIN_SOCKET);
        self.draft(|draft| draft.section("admin", &format!("{{socket: {}}}", socket.display())))
    }

    /// The bundled echo plugin, as service `echo` over TCP and UDP.
    #[must_use]
    pub fn echo(self) -> Self {
        self.plugin("echo", &binaries::bundled("echo")).service(
            "echo",
            "tcp://127.0.0.1:0, udp://127.0.0.1:0",
            "echo",
        )
    }

    /// A state directory in the folder of this test.
    #[must_use]
    pub fn state(self) -> Self {
        let directory = self.dir.path().join("state");
        fs::create_dir_all(&directory).expect("a state directory");
        self.set(format!("state-directory: {}", directory.display()))
    }

    /// One more argument.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// A variable of the environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// A program that runs the daemon in its place, such as `strace`.
    #[must_use]
    pub fn wrapped(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(OsString::from).collect();
        self
    }

    /// A copy of the daemon's executable, which the test may replace.
    #[must_use]
    pub fn program(mut self, path: &Path) -> Self {
        self.program = Some(path.to_owned());
        self
    }

    /// The service manager that gets the daemon's notifications, and may keep its sockets when it has ended.
    #[must_use]
    pub fn under(mut self, manager: &Manager) -> Self {
        self.keeps_sockets = true;
        self.variable("NOTIFY_SOCKET", manager.path())
    }

    /// Sockets passed by the service manager.
    #[must_use]
    pub fn passes(mut self, sockets: Vec<Passed>) -> Self {
        self.keeps_sockets = true;
        self.passed = sockets;
        self
    }

    /// Where the log goes.
    #[must_use]
    pub fn stderr(mut self, stderr: Stderr) -> Self {
        self.stderr = stderr;
        self
    }

    /// A part of an error line that the test expects.
    #[must_use]
    pub fn allow_error(mut self, part: &str) -> Self {
        self.allowed.push(part.to_owned());
        self
    }

    /// The folder of this test; it is removed with the daemon.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The text of the configuration.
    #[must_use]
    pub fn yaml(&self) -> String {
        self.draft.yaml()
    }

    /// Any other change of the configuration.
    #[must_use]
    pub fn draft(mut self, change: impl FnOnce(Draft) -> Draft) -> Self {
        self.draft = change(self.draft);
        self
    }

    fn write_config(&self) -> PathBuf {
        let path = self.dir.path().join(CONFIG);
        fs::write(&path, self.yaml()).expect("the configuration can be written");
        path
    }

    fn command(&self, config: &Path) -> Command {
        let mut words = self.wrapper.clone();
        if !self.passed.is_empty() {
            words.push(binaries::passing().into());
        }
        let program = self.program.clone();
        words.push(program.unwrap_or_else(binaries::polyportd).into());
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg("--config")
            .arg(config)
            .args(&self.arguments);
        command
            .env_remove("INVOCATION_ID")
            .env_remove("RUST_LOG")
            .env_remove("NOTIFY_SOCKET");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.dir.path()).process_group(0);
        command
    }

    /// Runs `polyportd --check` on this configuration.
    #[track_caller]
    pub fn check(&self) -> Finished {
        let mut command = self.command(&self.write_config());
        run::to_end(command.arg("--check"), b"", SOON)
    }

    /// Runs a daemon that is expected to end by itself.
    #[track_caller]
    pub fn run(&self) -> Finished {
        run::to_end(&mut self.command(&self.write_config()), b"", SOON)
    }

    /// Starts the daemon without waiting for it.
    #[track_caller]
    pub fn spawn(self) -> Daemon {
        let config = self.write_config();
        let mut command = self.command(&config);
        let stdin = match &self.passed[..] {
            [] => Stdio::null(),
            passed => notify::message(passed),
        };
        command.stdin(stdin).stdout(Stdio::null());
        let reader = match &self.stderr {
            Stderr::Captured => {
                let (reader, writer) = io::pipe().unwrap();
                command.stderr(writer);
                Some(reader)
            }
            Stderr::ClosedPipe => {
                command.stderr(io::pipe().unwrap().1);
                None
            }
            Stderr::File(path) => {
                command.stderr(fs::File::options().write(true).open(path).unwrap());
                None
            }
        };
        let child = command.spawn().expect("the daemon starts");
        drop(command);
        let log = reader.map(Log::follow).unwrap_or_default();
        Daemon::new(child, log, self.allowed, self.dir, self.draft)
            .keeps_sockets(self.keeps_sockets)
    }

    /// Starts the daemon and waits until it is ready.
    #[track_caller]
    pub fn start(self) -> Daemon {
        self.start_within(SOON)
    }

    /// The same with a limit of its own.
    #[track_caller]
    pub fn start_within(self, limit: Duration) -> Daemon {
        let daemon = self.spawn();
        daemon.log().wait_named(events::READY, limit);
        daemon
    }
}
