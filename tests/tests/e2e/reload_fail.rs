//! Reloads that fail, in every way and in shuffled order: nothing is lost, the old serves, each has one true reason.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use polyport_e2e::damage::Dice;
use polyport_e2e::{Daemon, Place, SOON, TestPlugin, client, events, process, wait};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";
const BOTH: &str = "tcp://127.0.0.1:0, udp://127.0.0.1:0";

/// How a reload is made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Syntax,
    UnknownKey,
    PortTaken,
    FileMissing,
    Truncated,
    Damaged,
    WrongAbi,
    ConstructorCrashes,
    ConstructorHangs,
    CreateFails,
    CreatePanics,
    CreateHangs,
    StartFails,
    RestoreFails,
    DiskFull,
}

const FAULTS: [Fault; 15] = [
    Fault::Syntax,
    Fault::UnknownKey,
    Fault::PortTaken,
    Fault::FileMissing,
    Fault::Truncated,
    Fault::Damaged,
    Fault::WrongAbi,
    Fault::ConstructorCrashes,
    Fault::ConstructorHangs,
    Fault::CreateFails,
    Fault::CreatePanics,
    Fault::CreateHangs,
    Fault::StartFails,
    Fault::RestoreFails,
    Fault::DiskFull,
];

impl Fault {
    /// A part of the reason, ignoring case.
    fn reason(self) -> &'static str {
        match self {
            Self::Syntax | Self::UnknownKey => "polyport.yaml",
            Self::PortTaken => "in use",
            Self::FileMissing
            | Self::Truncated
            | Self::Damaged
            | Self::WrongAbi
            | Self::ConstructorCrashes
            | Self::ConstructorHangs => "libpolyport_plain.so",
            Self::CreateFails | Self::CreatePanics | Self::CreateHangs => "create",
            Self::StartFails => "start",
            Self::RestoreFails => "restore_state",
            Self::DiskFull => "space",
        }
    }

    /// Takes seconds each time: not repeated in the short form.
    fn is_slow(self) -> bool {
        matches!(self, Self::ConstructorHangs | Self::CreateHangs)
    }
}

/// A daemon with a target for each fault, and clients that must not notice.
struct Range {
    daemon: Daemon,
    /// Code that is damaged: it answers with its version.
    plain: Place,
    /// Code whose hooks fail.
    hooks: Place,
    /// Code with state.
    keeps: Place,
    disk: PathBuf,
    /// The disk is small enough to be filled.
    is_small: bool,
    held: TcpStream,
    counter: TcpStream,
    datagrams: UdpSocket,
    counted: u64,
    /// Last, so that the daemon ends before it is dropped.
    _dir: TempDir,
}

fn stamp(version: u32) -> PathBuf {
    TestPlugin::new("stamp").version(version).build()
}

fn stateful(version: u32) -> TestPlugin {
    TestPlugin::new("state").version(version).define("STAMPED")
}

impl Range {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let plain = Place::new(dir.path(), "plain", &stamp(1));
        let hooks = Place::new(dir.path(), "hooks", &TestPlugin::file("hooks"));
        let keeps = Place::new(dir.path(), "keeps", &stateful(1).build());
        let disk = dir.path().join("disk");
        fs::create_dir_all(&disk).unwrap();
        let is_small = mount_small(&disk);
        let daemon = Daemon::builder()
            .set(format!("state-directory: {}", disk.display()))
            .set("hook-timeout: 1s")
            .plugin("plain", plain.path())
            .plugin("hooks", hooks.path())
            .plugin("keeps", keeps.path())
            .service("plain", BOTH, "plain")
            .service("hooks", TCP, "hooks")
            .service("keeps", TCP, "keeps")
            .admin()
            .allow_error("reload failed")
            .allow_error("configuration")
            .allow_error("hook")
            .allow_error("instance abandoned")
            .start();
        let held = client::tcp(daemon.tcp("plain"));
        let counter = client::tcp(daemon.tcp("keeps"));
        let datagrams = client::udp(daemon.udp("plain"));
        Self {
            daemon,
            plain,
            hooks,
            keeps,
            disk,
            is_small,
            held,
            counter,
            datagrams,
            counted: 0,
            _dir: dir,
        }
    }

    /// Streams opened before still get answers from this version, and new ones too.
    #[track_caller]
    fn serves(&mut self, version: u32, when: Fault) {
        let expected = format!("v{version} hello");
        let fresh = client::tcp(self.daemon.tcp("plain"));
        for mut stream in [&self.held, &fresh] {
            stream.write_all(b"hello\n").unwrap();
            assert_eq!(client::read_line(&mut stream), expected, "{when:?}");
        }
        let answer = client::datagram(&self.datagrams, b"hello");
        assert_eq!(String::from_utf8_lossy(&answer), expected, "{when:?}");
        assert!(
            client::echoes(self.daemon.tcp("hooks"), b"echo\n"),
            "{when:?}"
        );
        self.counted += 1;
        self.counter.write_all(b"?").unwrap();
        let answer = client::read_line(&mut self.counter);
        let expected = format!("v{version} {}", self.counted);
        assert_eq!(answer, expected, "{when:?}");
    }

    /// Breaks something, reloads, and repairs it.
    #[track_caller]
    fn fail(&mut self, fault: Fault, by_signal: bool, round: usize) {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let good = self.daemon.draft();
        match fault {
            Fault::Syntax => self
                .daemon
                .edit(|draft| draft.whole("services: [unclosed\n")),
            Fault::UnknownKey => self.daemon.edit(|draft| draft.set("drain-timeoutt: 3s")),
            Fault::PortTaken => self.daemon.edit(|draft| {
                draft.service("guest", &format!("tcp://127.0.0.1:{port}"), "plain", "")
            }),
            Fault::FileMissing => self.plain.remove(),
            Fault::Truncated => {
                let whole = fs::read(stamp(2)).unwrap();
                self.plain.write(&whole[..whole.len() / (round + 2)]);
            }
            Fault::Damaged => {
                let mut damaged = fs::read(stamp(2)).unwrap();
                // The program header table, without which nothing can be loaded.
                damaged[64 + round..256].fill(0xff);
                self.plain.write(&damaged);
            }
            Fault::WrongAbi => self.plain.rename(&TestPlugin::file("abi_too_new")),
            Fault::ConstructorCrashes => self.plain.rename(&TestPlugin::file("ctor_crash")),
            Fault::ConstructorHangs => self.plain.copy(&TestPlugin::file("ctor_hang")),
            Fault::CreateFails => self.hooked("create:fail"),
            Fault::CreatePanics => self.hooked("create:panic"),
            Fault::CreateHangs => self.hooked("create:hang"),
            Fault::StartFails => self.hooked("start:fail"),
            Fault::RestoreFails => {
                self.keeps
                    .rename(&stateful(2).fault("restore_state:fail").build());
            }
            Fault::DiskFull => {
                self.keeps.copy(&stateful(2).build());
                // The write fails when the disk is full.
                fs::write(self.disk.join("filler"), vec![0; 1 << 20]).ok();
            }
        }
        self.refused(fault, by_signal);
        self.daemon.edit(|_| good);
        fs::remove_file(self.disk.join("filler")).ok();
        self.plain.rename(&stamp(1));
        self.hooks.rename(&TestPlugin::file("hooks"));
        self.keeps.rename(&stateful(1).build());
    }

    fn hooked(&self, fault: &str) {
        self.hooks
            .rename(&TestPlugin::new("hooks").fault(fault).build());
    }

    /// The reload fails with the reason of the fault, by signal and by command, and the status shows it.
    #[track_caller]
    fn refused(&self, fault: Fault, by_signal: bool) {
        let (seen, limit) = (self.daemon.log().events().len(), SOON * 2);
        if by_signal {
            self.daemon.signal(polyport_e2e::Signal::SIGHUP);
        } else {
            let finished = self.daemon.ctl_within(&["reload"], limit);
            assert_ne!(finished.code, 0, "{fault:?}: {}", finished.text);
            finished.prints(fault.reason());
        }
        let verdict = wait::until("the verdict", limit, || {
            let events = self.daemon.log().events();
            events
                .into_iter()
                .skip(seen)
                .find(events::is_reload_verdict)
        });
        assert!(verdict.is(events::RELOAD_FAILED), "{fault:?}: {verdict:?}");
        let reason = verdict.field("reason").to_lowercase();
        assert!(reason.contains(fault.reason()), "{fault:?}: {verdict:?}");
        let status = self.daemon.listing("status");
        let last = &status["last_change"];
        assert_eq!(last["verdict"], "failed", "{fault:?}: {status}");
        assert_eq!(last["reason"], verdict.field("reason"), "{fault:?}");
        let asked_by = last["asked_by"].as_str().unwrap_or_default();
        assert_eq!(asked_by == "SIGHUP", by_signal, "{fault:?}: {status}");
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.is_small {
            Command::new("umount")
                .arg("-l")
                .arg(&self.disk)
                .status()
                .ok();
        }
    }
}

/// Mounts a disk of 64 KiB over the folder, where that is allowed.
fn mount_small(path: &Path) -> bool {
    let mount = ["-t", "tmpfs", "-o", "size=64k", "small"];
    let mounted = Command::new("mount").args(mount).arg(path).status();
    mounted.is_ok_and(|status| status.success())
}

/// Every fault `often` times, the slow ones once if `short`, in an order that is the same in each run.
fn shuffled(often: usize, short: bool) -> Vec<(usize, Fault)> {
    let times = |fault: Fault| if short && fault.is_slow() { 1 } else { often };
    let mut all: Vec<(usize, Fault)> = FAULTS
        .into_iter()
        .flat_map(|fault| (0..times(fault)).map(move |round| (round, fault)))
        .collect();
    let mut dice = Dice::new(20);
    for at in (1..all.len()).rev() {
        all.swap(at, dice.below(at + 1));
    }
    all
}

/// With `POLYPORT_LONG` in the environment seven times each, else twice.
#[test]
fn reloads_that_fail_in_every_way_lose_nothing() {
    let long = env::var_os("POLYPORT_LONG").is_some();
    let mut range = Range::new();
    if !range.is_small {
        println!("left out: a full disk takes a right to mount");
    }
    let pid = range.daemon.pid();
    range.serves(1, Fault::Syntax);
    let before = resources(pid);
    let mut hung = 0;
    for (at, (round, fault)) in shuffled(if long { 7 } else { 2 }, !long)
        .into_iter()
        .enumerate()
    {
        if fault == Fault::DiskFull && !range.is_small {
            continue;
        }
        hung += u64::from(fault == Fault::CreateHangs);
        range.fail(fault, at % 3 == 0, round);
        range.serves(1, fault);
    }
    // A hook that does not return keeps its thread. There may be fewer: earlier threads may have ended since.
    let (descriptors, threads, children) = before;
    let settled = || {
        let (now, of, with) = resources(pid);
        (now <= descriptors && of <= threads + hung && with <= children).then_some(())
    };
    if wait::until_or_never(SOON, settled).is_none() {
        let now = resources(pid);
        panic!("descriptors, threads, children: {before:?} and {hung} threads -> {now:?}");
    }
    range.plain.rename(&stamp(2));
    range.keeps.rename(&stateful(2).build());
    range.daemon.ctl(&["reload"]).exits(0);
    range.serves(2, Fault::Syntax);
}

/// Descriptors apart from the code of plugins, threads, children.
fn resources(pid: u32) -> (usize, u64, usize) {
    (
        process::descriptors(pid) - process::memory_files(pid),
        process::threads(pid),
        process::children(pid),
    )
}

#[test]
fn a_reload_during_the_stop_is_refused_with_the_reason() {
    let daemon = Daemon::builder()
        .plugin("lines", &TestPlugin::file("lines"))
        .service("lines", TCP, "lines")
        .set("drain-timeout: 30s")
        .admin()
        .start();
    let mut stream = client::tcp(daemon.tcp("lines"));
    stream.write_all(b"whole\nha").unwrap();
    assert_eq!(client::read_line(&mut stream), "whole");
    daemon.signal(polyport_e2e::Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    let finished = daemon.ctl(&["reload"]);
    assert_ne!(finished.code, 0);
    finished.prints_one_of(&["stop", "drain", "ends"]);
    stream.write_all(b"lf\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "half");
    drop(stream);
    let mut daemon = daemon;
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

#[test]
fn a_plan_changes_nothing() {
    let dir = TempDir::new().unwrap();
    let plain = Place::new(dir.path(), "plain", &stamp(1));
    let mut daemon = Daemon::builder()
        .plugin("plain", plain.path())
        .service("plain", BOTH, "plain")
        .admin()
        .start();
    plain.rename(&stamp(2));
    daemon.edit(|draft| draft.service("guest", TCP, "plain", ""));
    let before = resources(daemon.pid());
    let finished = daemon.ctl(&["plan"]);
    finished.exits(0).prints("guest").prints("plain");
    let mut stream = client::tcp(daemon.tcp("plain"));
    stream.write_all(b"hello\n").unwrap();
    assert_eq!(client::read_line(&mut stream), "v1 hello");
    assert_eq!(daemon.log().named(events::PLUGIN_LOADED).len(), 1);
    drop(stream);
    wait::until("nothing is left of it", SOON, || {
        (resources(daemon.pid()) == before).then_some(())
    });
    daemon.stop();
}

#[test]
fn an_unconfirmed_reload_is_rolled_back() {
    let dir = TempDir::new().unwrap();
    let plain = Place::new(dir.path(), "plain", &stamp(1));
    let daemon = Daemon::builder()
        .plugin("plain", plain.path())
        .service("plain", BOTH, "plain")
        .admin()
        .start();
    let mut stream = client::tcp(daemon.tcp("plain"));
    let mut ask = || {
        stream.write_all(b"who\n").unwrap();
        client::read_line(&mut stream)
    };
    assert_eq!(ask(), "v1 who");
    plain.rename(&stamp(2));
    daemon.ctl(&["reload", "--confirm", "1s"]).exits(0);
    assert_eq!(ask(), "v2 who");
    wait::until("it goes back by itself", SOON, || {
        (ask() == "v1 who").then_some(())
    });
    let nothing = daemon.ctl(&["confirm"]);
    assert_ne!(nothing.code, 0, "too late: {}", nothing.text);

    plain.rename(&stamp(3));
    daemon.ctl(&["reload", "--confirm", "2s"]).exits(0);
    daemon.ctl(&["confirm"]).exits(0);
    wait::measure(Duration::from_secs(3));
    assert_eq!(ask(), "v3 who");
    drop(stream);
    daemon.stop();
}
