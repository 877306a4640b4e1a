//! The tool as a child process, as a script would run it.

use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Read as _, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// A running tool.
pub(crate) struct Tool {
    child: Child,
    control: Option<PipeWriter>,
    output: BufReader<ChildStdout>,
}

/// How it ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) report: Value,
}

/// The tool with these words.
pub(crate) fn command(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_polyport-load"));
    command.args(arguments.split_whitespace());
    command
}

impl Tool {
    /// Starts it until it is stopped.
    pub(crate) fn start(arguments: &str) -> Self {
        Self::start_told(arguments, &[])
    }

    /// Starts it with orders that are in force before anything begins.
    pub(crate) fn start_told(arguments: &str, orders: &[&str]) -> Self {
        let (reader, mut control): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        for order in orders {
            writeln!(control, "{order}").unwrap();
        }
        let mut child = command(arguments)
            .args(["--until-stdin-closes", "--json"])
            .stdin(Stdio::from(reader))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let control = Some(control);
        let mut tool = Self {
            child,
            control,
            output,
        };
        for order in orders {
            assert_eq!(tool.line(), format!("ok {order}"));
        }
        tool
    }

    /// Gives an order without waiting for it.
    pub(crate) fn say(&mut self, order: &str) {
        writeln!(self.control.as_mut().unwrap(), "{order}").unwrap();
    }

    /// Gives an order; it is in force afterwards.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &str) {
        self.say(order);
        assert_eq!(self.line(), format!("ok {order}"));
    }

    /// The next line of its output.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Whether the kernel has stopped it.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T')
    }

    /// Orders the end, and reads the report.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Ended {
        self.order("stop");
        self.end()
    }

    /// Closes the control lines, and reads the report.
    #[track_caller]
    pub(crate) fn close(mut self) -> Ended {
        self.control = None;
        self.end()
    }

    /// Reads the report of a tool that ends.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ended {
        let mut text = String::new();
        self.output.read_to_string(&mut text).unwrap();
        let code = self.child.wait().unwrap().code().unwrap();
        let report = serde_json::from_str(&text).unwrap_or_else(|fault| panic!("{fault}: {text}"));
        Ended { code, report }
    }
}

impl Ended {
    /// A number of the total: `connects.ok`.
    #[track_caller]
    pub(crate) fn total(&self, path: &str) -> u64 {
        number(&self.report["total"], path)
    }

    /// A number of a phase.
    #[track_caller]
    pub(crate) fn phase(&self, name: &str, path: &str) -> u64 {
        let phases = self.report["phases"].as_array().unwrap();
        let phase = phases.iter().find(|phase| phase["name"] == name).unwrap();
        number(&phase["tally"], path)
    }

    /// What went wrong, in words.
    pub(crate) fn faults(&self) -> Vec<&str> {
        let faults = self.report["faults"].as_array().unwrap();
        faults.iter().map(|fault| fault.as_str().unwrap()).collect()
    }

    /// Nothing went wrong at all, and every attempt ended well.
    #[track_caller]
    pub(crate) fn is_clean(&self) {
        assert_eq!(self.faults(), Vec::<&str>::new(), "{}", self.report);
        assert_eq!(self.code, 0);
        self.adds_up();
        assert_eq!(self.total("connects.begun"), self.total("connects.ok"));
        assert_eq!(self.total("streams.begun"), self.total("streams.alive"));
        assert_eq!(self.total("pings.sent"), self.total("pings.answered"));
        assert_eq!(
            self.total("datagrams.sent"),
            self.total("datagrams.answered")
        );
    }

    /// These lines are the faults, and nothing else went wrong.
    #[track_caller]
    pub(crate) fn has_faults(&self, faults: &[String]) {
        assert_eq!(self.faults(), faults, "{}", self.report);
        assert_eq!(self.code, 1);
        self.adds_up();
    }

    /// Every attempt ended in one number.
    #[track_caller]
    pub(crate) fn adds_up(&self) {
        const BESIDE: [&str; 6] = [
            "surplus",
            "duplicated",
            "late",
            "stray",
            "failed_here",
            "skipped",
        ];
        for (kind, first, is_all) in [
            ("connects", "begun", true),
            ("streams", "begun", true),
            ("pings", "sent", false),
            ("datagrams", "sent", false),
        ] {
            let numbers = self.report["total"][kind].as_object().unwrap();
            let ends = numbers.iter().filter(|(name, _)| {
                let name = name.as_str();
                name != first && (is_all || !BESIDE.contains(&name))
            });
            let sum: u64 = ends.map(|(_, count)| count.as_u64().unwrap()).sum();
            assert_eq!(
                self.total(&format!("{kind}.{first}")),
                sum,
                "{kind}: {numbers:?}"
            );
        }
    }
}

#[track_caller]
fn number(tally: &Value, path: &str) -> u64 {
    let (kind, name) = path.split_once('.').unwrap();
    tally[kind][name]
        .as_u64()
        .unwrap_or_else(|| panic!("no {path} in {tally}"))
}

impl Drop for Tool {
    fn drop(&mut self) {
        // It has ended, or its test has failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
