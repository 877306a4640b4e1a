//! Load on a daemon during a test: `polyport-load` as a child, its control lines and its report.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::{SOON, binaries, run, wait};

/// An attempt of the load takes this long at most, and so does the end of a load.
const END: Duration = Duration::from_secs(40);

/// A load that runs until [`Load::stop`].
#[derive(Debug)]
pub struct Load {
    child: Child,
    orders: ChildStdin,
    lines: Receiver<String>,
}

/// The report of a load.
#[derive(Clone, Debug)]
pub struct Counted {
    /// Its exit code.
    pub code: i32,
    /// Its report; `docs/load.md` says what is in it.
    pub report: Value,
}

impl Load {
    /// Starts it with these arguments, without the one for its end.
    #[track_caller]
    pub fn start(words: &str) -> Self {
        let mut child = Command::new(binaries::polyport_load())
            .args(words.split_whitespace())
            .args(["--until-stdin-closes", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the load starts");
        let orders = child.stdin.take().unwrap();
        let lines = read(child.stdout.take().unwrap());
        Self {
            child,
            orders,
            lines,
        }
    }

    /// Sends a control line, such as `generation 2`; it is in force afterwards.
    #[track_caller]
    pub fn order(&mut self, order: &str) {
        self.say(order);
        let said = self.line(SOON);
        assert_eq!(said, format!("ok {order}"), "the load obeys");
    }

    /// Waits until every client, stream and source has had a right answer since this call.
    #[track_caller]
    pub fn ready(&mut self) {
        self.order("ready");
    }

    /// Announces generation `next`, runs `act`, which brings it about, and reports it complete.
    #[track_caller]
    pub fn swap<T>(&mut self, next: u64, act: impl FnOnce() -> T) -> T {
        self.order(&format!("announce {next}"));
        let done = act();
        self.order(&format!("generation {next}"));
        done
    }

    /// Ends it: attempts in flight are answered or time out, then it reports.
    #[track_caller]
    pub fn stop(mut self) -> Counted {
        self.order("stop");
        let line = self.line(END);
        let report = serde_json::from_str(&line).expect("the report is JSON");
        let status = wait::until("the load ends", END, || self.child.try_wait().unwrap());
        Counted {
            code: run::code(status),
            report,
        }
    }

    fn say(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("the load takes orders");
    }

    #[track_caller]
    fn line(&self, limit: Duration) -> String {
        let line = self.lines.recv_timeout(limit);
        line.expect("the load says something in time")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // It has ended, or its test has failed.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Counted {
    /// A number of the whole run, such as `connects.refused`.
    #[track_caller]
    pub fn number(&self, path: &str) -> u64 {
        let (kind, name) = path.split_once('.').expect("KIND.NUMBER is wanted");
        let number = self.report["total"][kind][name].as_u64();
        number.unwrap_or_else(|| panic!("no {path} in {}", self.report))
    }

    /// Fails the test if anything went wrong.
    #[track_caller]
    pub fn is_clean(&self) -> &Self {
        let (faults, breaks) = (&self.report["faults"], &self.report["breaks"]);
        let what = format!("{faults} {breaks} {}", self.report["troubles"]);
        assert_eq!(self.code, 0, "{what}\n{}", self.report["total"]);
        self
    }

    /// Fails the test if the number is lower than `wanted`.
    #[track_caller]
    pub fn has_at_least(&self, path: &str, wanted: u64) -> &Self {
        let number = self.number(path);
        assert!(number >= wanted, "{number} {path}, {wanted} wanted");
        self
    }
}

fn read(output: ChildStdout) -> Receiver<String> {
    // Orders are acknowledged one by one, so a few lines are many.
    let (sender, lines) = sync_channel(16);
    thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
