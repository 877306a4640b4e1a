//! The cost of reloads: a storm of requests is few reloads, and each leaves only its code behind.

use std::env;
use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use polyport_e2e::{Daemon, Event, Place, SOON, Signal, TestPlugin, client, events, process, wait};
use tempfile::TempDir;

const TCP: &str = "tcp://127.0.0.1:0";

/// Returns whether to run the long form: `POLYPORT_LONG` in the environment.
fn is_long() -> bool {
    env::var_os("POLYPORT_LONG").is_some()
}

/// Descriptors apart from the code of plugins, threads, children.
fn resources(pid: u32) -> [usize; 3] {
    let threads = usize::try_from(process::threads(pid)).unwrap();
    let descriptors = process::descriptors(pid) - process::memory_files(pid);
    [descriptors, threads, process::children(pid)]
}

/// Streams that were served once.
#[track_caller]
fn many(daemon: &Daemon, count: usize) -> Vec<TcpStream> {
    let address = daemon.tcp("svc");
    let served = |_| {
        let mut stream = client::tcp(address);
        assert_eq!(client::ask(&mut stream, "hello"), "v1 hello");
        stream
    };
    (0..count).map(served).collect()
}

#[test]
fn a_storm_of_signals_is_at_most_two_reloads_and_loses_nothing() {
    let count = if is_long() { 10_000 } else { 500 };
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    if most < 12_000 && is_long() {
        println!("left out: 10 000 streams want more descriptors than {most}");
        return;
    }
    let mut daemon = Daemon::builder()
        .plugin("svc", &TestPlugin::file("stamp"))
        .service("svc", TCP, "svc")
        .start();
    let streams = many(&daemon, count);
    let pid = daemon.pid();
    let before = resources(pid);
    daemon.edit(|draft| draft.service("svc", TCP, "svc", "timeouts: {idle: 1h}"));
    for _ in 0..1000 {
        daemon.signal(Signal::SIGHUP);
    }
    let is_applied = |event: &Event| event.is(events::RELOAD_APPLIED);
    daemon.log().wait("the first verdict", SOON, is_applied);
    let verdicts = |daemon: &Daemon| {
        let events = daemon.log().events();
        events.into_iter().filter(events::is_reload_verdict).count()
    };
    wait::measure(std::time::Duration::from_secs(1));
    let storm = verdicts(&daemon);
    assert!(storm <= 2, "{storm} reloads");
    wait::until("no more descriptors, threads and children", SOON, || {
        let now = resources(pid);
        now.iter()
            .zip(before)
            .all(|(now, before)| *now <= before)
            .then_some(())
    });
    for mut stream in streams {
        assert_eq!(client::ask(&mut stream, "still here"), "v1 still here");
    }
    daemon.stop();
}

/// The plugin with other bytes, whose code is the same.
fn salted(plugin: &Path, into: &Path, salt: usize) {
    let mut bytes = fs::read(plugin).unwrap();
    let mark = b"salt 00000000";
    let at = bytes
        .windows(mark.len())
        .position(|part| part == mark)
        .expect("the test plugin has its salt");
    bytes[at..at + mark.len()].copy_from_slice(format!("salt {salt:08}").as_bytes());
    fs::write(into, bytes).unwrap();
}

#[test]
fn a_generation_costs_its_file_and_little_more() {
    const WARM: usize = 20;
    /// Apart from the file and its private data.
    const SLACK_KIB: u64 = 64;
    let count = if is_long() { 200 } else { 50 };
    let dir = TempDir::new().unwrap();
    let (place, builder) = Place::with_service(dir.path(), &TestPlugin::file("stamp"), TCP);
    let daemon = builder.start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let pid = daemon.pid();
    let next = dir.path().join("salted.so");
    let mut swap = |salt| {
        salted(&TestPlugin::file("stamp"), &next, salt);
        match salt % 2 {
            0 => place.rename(&next),
            _ => place.copy(&next),
        }
        daemon.reload_applied();
        stream.write_all(b"hello\n").unwrap();
        assert_eq!(client::read_line(&mut stream), "v1 hello");
    };
    (1..=WARM).for_each(&mut swap);
    let (before, memory) = (resources(pid), process::resident_kib(pid));
    let files = process::memory_files(pid);
    (WARM + 1..=WARM + count).for_each(&mut swap);
    let grown = process::resident_kib(pid).saturating_sub(memory);
    let file = fs::metadata(&next).unwrap().len().div_ceil(1024);
    let each = grown / u64::try_from(count).unwrap();
    println!("a file of {file} KiB costs {each} KiB a generation");
    // Private data is a part of the file here, and so no more than it.
    assert!(
        each <= 2 * file + SLACK_KIB,
        "{grown} KiB for {count} generations"
    );
    assert!(process::memory_files(pid) <= files + count);
    wait::until("no more descriptors, threads and children", SOON, || {
        let now = resources(pid);
        now.iter()
            .zip(before)
            .all(|(now, before)| *now <= before)
            .then_some(())
    });
    drop(stream);
    daemon.stop();
}
