//! Persisted state: kept over a restart, written whole or not at all, moved aside when it is damaged.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client, events};
use tempfile::TempDir;

fn with(plugin: &Path, state: &TempDir) -> Builder {
    Daemon::builder()
        .set(format!("state-directory: {}", state.path().display()))
        .plugin("counter", plugin)
        .service("counter", "tcp://127.0.0.1:0", "counter")
}

fn ask(daemon: &Daemon) -> String {
    let mut stream = client::tcp(daemon.tcp("counter"));
    stream.write_all(b"?").unwrap();
    client::read_line(&mut stream)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .flatten()
        .map(|entry| entry.path());
    let mut all: Vec<PathBuf> = entries
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_count_goes_on_after_a_restart() {
    let state = TempDir::new().unwrap();
    let plugin = TestPlugin::file("state");
    for expected in ["1", "2", "3"] {
        let daemon = with(&plugin, &state).start();
        assert_eq!(ask(&daemon), expected);
        daemon.stop();
    }
    assert_eq!(files(state.path()).len(), 1, "{:?}", files(state.path()));
}

#[test]
fn a_killed_daemon_leaves_the_state_of_its_last_stop() {
    let state = TempDir::new().unwrap();
    let plugin = TestPlugin::file("state");
    let daemon = with(&plugin, &state).start();
    assert_eq!(ask(&daemon), "1");
    daemon.stop();
    let daemon = with(&plugin, &state).start();
    assert_eq!(ask(&daemon), "2");
    drop(daemon);
    let daemon = with(&plugin, &state).start();
    assert_eq!(ask(&daemon), "2");
    daemon.stop();
}

/// Saves a count of 1, changes the file, starts again, and expects a fresh count and a warning.
#[track_caller]
fn damaged(damage: impl Fn(&Path)) {
    let state = TempDir::new().unwrap();
    let plugin = TestPlugin::file("state");
    let daemon = with(&plugin, &state).start();
    assert_eq!(ask(&daemon), "1");
    daemon.stop();
    let [file] = &files(state.path())[..] else {
        panic!("{:?}", files(state.path()))
    };
    let before = fs::read(file).unwrap();
    damage(file);
    let daemon = with(&plugin, &state).allow_error("state").start();
    assert_eq!(ask(&daemon), "1", "the damaged state was not used");
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    daemon
        .log()
        .wait("the damaged file is said", SOON, |event| {
            ["WARN", "ERROR"].contains(&event.level.as_str()) && event.line.contains(&name)
        });
    daemon.stop();
    assert_eq!(
        files(state.path()).len(),
        2,
        "the damaged file is kept aside: {:?}",
        files(state.path())
    );
    assert_eq!(fs::read(file).unwrap().len(), before.len());
    let daemon = with(&plugin, &state).start();
    assert_eq!(ask(&daemon), "2");
    daemon.stop();
}

#[test]
fn a_damaged_file_is_set_aside() {
    damaged(|file| {
        let mut bytes = fs::read(file).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(file, bytes).unwrap();
    });
}

#[test]
fn a_file_cut_short_is_set_aside() {
    damaged(|file| {
        let bytes = fs::read(file).unwrap();
        fs::write(file, &bytes[..bytes.len() - 3]).unwrap();
    });
}

#[test]
fn an_empty_file_is_set_aside() {
    damaged(|file| fs::write(file, b"").unwrap());
}

#[test]
fn rubbish_is_set_aside() {
    damaged(|file| {
        let rubbish = b"this was never a state file, and is long enough to be one";
        fs::write(file, rubbish).unwrap();
    });
}

#[test]
fn a_state_of_an_unsupported_version_is_not_restored() {
    let state = TempDir::new().unwrap();
    let newer = TestPlugin::new("state").define("STATE_VERSION=3").build();
    let daemon = with(&newer, &state).start();
    assert_eq!(ask(&daemon), "1");
    daemon.stop();
    let daemon = with(&TestPlugin::file("state"), &state)
        .allow_error("state")
        .start();
    assert_eq!(ask(&daemon), "1");
    daemon.stop();
}

#[test]
fn an_older_state_that_is_understood_is_restored() {
    let state = TempDir::new().unwrap();
    let daemon = with(&TestPlugin::file("state"), &state).start();
    assert_eq!(ask(&daemon), "1");
    daemon.stop();
    let newer = TestPlugin::new("state").define("STATE_VERSION=3").build();
    let daemon = with(&newer, &state).start();
    assert_eq!(ask(&daemon), "2");
    daemon.stop();
}

#[test]
fn a_handler_with_state_and_no_directory_fails_the_check() {
    let builder = Daemon::builder().plugin("counter", &TestPlugin::file("state"));
    let finished = builder
        .service("counter", "tcp://127.0.0.1:0", "counter")
        .check();
    finished.prints("state-directory");
}

#[test]
fn the_state_directory_of_the_service_manager_is_the_default() {
    let state = TempDir::new().unwrap();
    for expected in ["1", "2"] {
        let daemon = Daemon::builder()
            .variable("STATE_DIRECTORY", state.path())
            .plugin("counter", &TestPlugin::file("state"))
            .service("counter", "tcp://127.0.0.1:0", "counter")
            .start();
        assert_eq!(ask(&daemon), expected);
        daemon.stop();
    }
}

#[test]
fn a_state_directory_that_cannot_be_written_fails_the_save_and_nothing_else() {
    let state = TempDir::new().unwrap();
    let mut daemon = with(&TestPlugin::file("state"), &state)
        .allow_error("state")
        .allow_error("hook")
        .start();
    assert_eq!(ask(&daemon), "1");
    fs::remove_dir_all(state.path()).unwrap();
    fs::write(state.path(), b"in the way").unwrap();
    let (_, code) = daemon.timed_stop();
    assert_ne!(code, events::EXIT_CLEAN, "lost state is no clean stop");
    daemon.log().wait_named(events::STOPPED, SOON);
    fs::remove_file(state.path()).unwrap();
}
