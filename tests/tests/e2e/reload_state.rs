//! State over a reload: handed over once, given back when the reload fails, and never in two generations if exclusive.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use polyport_e2e::{Builder, Daemon, Place, SOON, TestPlugin, client, events, wait};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

fn keeps(version: u32) -> TestPlugin {
    TestPlugin::new("state").version(version).define("STAMPED")
}

fn exclusive(version: u32) -> TestPlugin {
    TestPlugin::new("exclusive").version(version)
}

/// A service `svc` with state, by a plugin file that can be replaced.
fn placed(dir: &TempDir, plugin: &Path) -> (Place, Builder) {
    let place = Place::new(dir.path(), "svc", plugin);
    let lock = dir.path().join("lock").display().to_string();
    let builder = Daemon::builder()
        .state()
        .plugin_with(
            "svc",
            place.path(),
            &format!("config: {{lock: \"{lock}\"}}"),
        )
        .service("svc", TCP, "svc")
        .allow_error("reload failed")
        .allow_error("hook")
        .allow_error("state");
    (place, builder)
}

#[track_caller]
fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"?").unwrap();
    client::read_line(stream)
}

#[test]
fn a_count_goes_on_in_new_code_and_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let state = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &keeps(1).build());
    let directory = format!("state-directory: {}", state.path().display());
    let daemon = builder.set(directory.clone()).start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&keeps(2).build());
    daemon.reload_applied();
    assert_eq!(ask(&mut stream), "v2 2");
    place.copy(&keeps(3).build());
    daemon.reload_applied();
    assert_eq!(ask(&mut client::tcp(daemon.tcp("svc"))), "v3 3");
    drop(stream);
    daemon.stop();

    let (_place, builder) = placed(&dir, &keeps(3).build());
    let daemon = builder.set(directory).start();
    assert_eq!(ask(&mut client::tcp(daemon.tcp("svc"))), "v3 4");
    daemon.stop();
}

#[test]
fn state_moves_without_a_directory_too() {
    let dir = TempDir::new().unwrap();
    let place = Place::new(dir.path(), "svc", &keeps(1).build());
    let daemon = Daemon::builder()
        .plugin("svc", place.path())
        .service("svc", TCP, "svc")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&keeps(2).build());
    daemon.reload_applied();
    assert_eq!(ask(&mut stream), "v2 2");
    drop(stream);
    daemon.stop();
}

/// New code with a fault: the reload fails for this reason and the old code counts on, before and after the next that
/// is good.
#[track_caller]
fn undone(
    old: &TestPlugin,
    faulty: &TestPlugin,
    good: &TestPlugin,
    reason: &str,
) -> polyport_e2e::Log {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &old.build());
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&faulty.build());
    for round in 0..3 {
        daemon.reload_failed(reason);
        assert_eq!(ask(&mut stream), format!("v1 {}", 2 + round));
    }
    place.rename(&good.build());
    daemon.reload_applied();
    assert_eq!(ask(&mut stream), "v2 5");
    drop(stream);
    let log = daemon.log().clone();
    daemon.stop();
    assert!(!log.contains("two hold the lock"));
    assert!(!log.contains("called while frozen"));
    log
}

#[test]
fn state_that_cannot_be_restored_undoes_the_reload() {
    let faulty = keeps(2).fault("restore_state:fail");
    undone(&keeps(1), &faulty, &keeps(2), "this state is of no use");
}

#[test]
fn state_of_a_version_that_is_not_understood_undoes_the_reload() {
    let faulty = keeps(2)
        .define("STATE_VERSION=4")
        .define("STATE_MIN_VERSION=3");
    undone(&keeps(1), &faulty, &keeps(2), "version 1");
}

#[test]
fn state_that_cannot_be_saved_undoes_the_reload() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &keeps(1).fault("save_state:fail").build());
    let mut daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&keeps(2).build());
    daemon.reload_failed("save_state");
    assert_eq!(ask(&mut stream), "v1 2");
    drop(stream);
    let (_, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_HOOK, "nor can it be saved at the stop");
}

#[test]
fn exclusive_state_is_in_one_generation_at_a_time() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &exclusive(1).build());
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    for version in 2..6 {
        place.rename(&exclusive(version).build());
        daemon.reload_applied();
        assert_eq!(ask(&mut stream), format!("v{version} {version}"));
    }
    drop(stream);
    let log = daemon.log().clone();
    daemon.stop();
    assert!(!log.contains("two hold the lock"));
    assert!(!log.contains("svc thawed"));
}

#[test]
fn an_exclusive_instance_thaws_when_the_new_one_does_not_start() {
    let faulty = exclusive(2).fault("start:fail");
    let log = undone(&exclusive(1), &faulty, &exclusive(2), "start");
    log.wait_for("svc thawed", SOON);
}

#[test]
fn an_exclusive_instance_thaws_when_the_new_one_is_not_created() {
    let faulty = exclusive(2).fault("create:fail");
    let log = undone(
        &exclusive(1),
        &faulty,
        &exclusive(2),
        "there is nothing to lock",
    );
    log.wait_for("svc thawed", SOON);
}

#[test]
fn an_exclusive_instance_thaws_when_its_state_is_refused() {
    let faulty = exclusive(2).fault("restore_state:fail");
    let log = undone(
        &exclusive(1),
        &faulty,
        &exclusive(2),
        "this state is of no use",
    );
    log.wait_for("svc thawed", SOON);
}

#[test]
fn an_instance_that_does_not_freeze_goes_on() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &exclusive(1).fault("freeze:fail").build());
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    place.rename(&exclusive(2).build());
    daemon.reload_failed("freeze");
    assert_eq!(ask(&mut stream), "v1 2");
    drop(stream);
    daemon.stop();
}

#[test]
fn clients_of_an_exclusive_instance_notice_a_pause_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let (place, builder) = placed(&dir, &exclusive(1).build());
    let daemon = builder.start();
    let address = daemon.tcp("svc");
    let over = AtomicBool::new(false);
    let counts: Vec<u64> = thread::scope(|scope| {
        let end = client::EndOf(&over);
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let over = &over;
                scope.spawn(move || {
                    let mut held = client::tcp(address);
                    let mut counts = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        counts.push(count(&ask(&mut held)));
                        if number % 2 == 0 {
                            held = client::tcp(address);
                        }
                        // Often enough to meet every pause.
                        wait::measure(Duration::from_millis(1));
                    }
                    counts
                })
            })
            .collect();
        for version in 2..6 {
            let faulty = exclusive(version).fault("start:fail");
            place.rename(&faulty.build());
            daemon.reload_failed("start");
            place.rename(&exclusive(version).build());
            daemon.reload_applied();
        }
        drop(end);
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        counts.flatten().collect()
    });
    let mut sorted = counts.clone();
    sorted.sort_unstable();
    let whole: Vec<u64> = (1..=u64::try_from(counts.len()).unwrap()).collect();
    assert_eq!(sorted, whole, "a count is missing or was given twice");
    let log = daemon.log().clone();
    daemon.stop();
    assert!(!log.contains("two hold the lock"));
    assert!(!log.contains("called while frozen"));
}

/// The number in `v3 17`.
fn count(answer: &str) -> u64 {
    let (_, number) = answer.split_once(' ').expect(answer);
    number.parse().expect(answer)
}

/// A file system of its own, 64 KiB large, that goes away at the end; `None` where that is not allowed.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=64k", "small"];
        let mounted = Command::new("mount").args(mount).arg(path).status();
        let is_there = mounted.is_ok_and(|status| status.success());
        is_there.then(|| Self(path.to_owned()))
    }

    fn fill(&self) {
        let filler = vec![0; 1 << 20];
        // The write fails when the disk is full.
        fs::write(self.0.join("filler"), filler).ok();
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}

#[test]
fn a_full_disk_undoes_the_reload_and_keeps_the_state_before() {
    let dir = TempDir::new().unwrap();
    let Some(disk) = SmallDisk::at(&dir.path().join("small")) else {
        println!("left out: a full disk takes a right to mount");
        return;
    };
    let (place, builder) = placed(&dir, &keeps(1).build());
    let daemon = builder
        .set(format!("state-directory: {}", disk.0.display()))
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(ask(&mut stream), "v1 1");
    disk.fill();
    place.rename(&keeps(2).build());
    daemon.reload_failed("space");
    assert_eq!(ask(&mut stream), "v1 2");
    disk.empty();
    daemon.reload_applied();
    assert_eq!(ask(&mut stream), "v2 3");
    drop(stream);
    daemon.stop();
}
