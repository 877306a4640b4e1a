//! State over a hand-over to another process: in one process at a time, and in the old one if the new one refuses it.

use std::path::Path;

use polyport_e2e::{Builder, Place, TestPlugin, client, events};

use crate::upgrade::{old_ends, program};

const TCP: &str = "tcp://127.0.0.1:0";

/// A service `svc` with state.
fn stateful(builder: Builder, plugin: &Path, dir: &Path) -> Builder {
    let lock = dir.join("lock").display().to_string();
    let config = format!("config: {{lock: \"{lock}\"}}");
    builder
        .state()
        .plugin_with("svc", plugin, &config)
        .service("svc", TCP, "svc")
}

fn ask(address: std::net::SocketAddr) -> String {
    client::ask(&mut client::tcp(address), "?")
}

#[test]
fn state_goes_over_and_streams_that_could_change_it_end() {
    let plugins = [
        TestPlugin::new("state")
            .version(1)
            .define("STAMPED")
            .build(),
        TestPlugin::new("exclusive").version(1).build(),
    ];
    for plugin in plugins {
        let (dir, _program, builder) = program();
        let mut daemon = stateful(builder, &plugin, dir.path()).start();
        let address = daemon.tcp("svc");
        assert_eq!(ask(address), "v1 1");
        let mut stream = client::tcp(address);
        assert_eq!(client::ask(&mut stream, "?"), "v1 2");
        let first = daemon.hand_over(None);
        let (rest, _) = client::read_to_end(&mut stream);
        assert!(rest.is_empty(), "what it would change now would be lost");
        old_ends(&mut daemon);
        assert_eq!(ask(address), "v1 3");
        let second = daemon.hand_over(Some(&first));
        assert_eq!(first.wait_exit(), events::EXIT_CLEAN);
        assert_eq!(ask(address), "v1 4");
        assert!(!daemon.log().contains("two hold the lock"));
        assert!(!daemon.log().contains("called while frozen"));
        second.stop();
    }
}

#[test]
fn state_that_the_new_process_refuses_stays_with_the_old_one() {
    let plugins = [
        TestPlugin::new("state").define("STAMPED"),
        TestPlugin::new("exclusive"),
    ];
    for plugin in plugins {
        let (dir, _program, builder) = program();
        let place = Place::new(dir.path(), "svc", &plugin.clone().version(1).build());
        let daemon = stateful(builder, place.path(), dir.path())
            .allow_error("hand-over failed")
            .allow_error("cannot start")
            .start();
        let address = daemon.tcp("svc");
        let mut stream = client::tcp(address);
        assert_eq!(client::ask(&mut stream, "?"), "v1 1");
        let faulty = plugin.clone().version(2).fault("restore_state:fail");
        place.rename(&faulty.build());
        for round in 0..2 {
            let verdict = daemon.usr2(None);
            assert!(verdict.is(events::HAND_OVER_FAILED), "{}", verdict.line);
            let reason = verdict.field("reason");
            assert!(reason.contains("this state is of no use"), "{reason}");
            assert_eq!(
                client::ask(&mut stream, "?"),
                format!("v1 {}", round + 2),
                "the same stream goes on"
            );
        }
        assert!(!daemon.log().contains("two hold the lock"));
        drop(stream);
        daemon.stop();
    }
}

#[test]
fn f78_state_that_the_new_process_cannot_read_is_not_set_aside() {
    let (dir, _program, builder) = program();
    let plugin = || TestPlugin::new("state").define("STAMPED");
    let place = Place::new(dir.path(), "svc", &plugin().version(1).build());
    let daemon = stateful(builder, place.path(), dir.path())
        .allow_error("hand-over failed")
        .allow_error("cannot start")
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::ask(&mut stream, "?"), "v1 1");
    let other = plugin()
        .version(2)
        .define("STATE_VERSION=4")
        .define("STATE_MIN_VERSION=3");
    place.rename(&other.build());
    let verdict = daemon.usr2(None);
    assert!(verdict.is(events::HAND_OVER_FAILED), "{}", verdict.line);
    assert!(
        verdict.field("reason").contains("version 1"),
        "{}",
        verdict.line
    );
    assert_eq!(client::ask(&mut stream, "?"), "v1 2");
    let files: Vec<_> = std::fs::read_dir(daemon.dir().join("state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["svc.state"]);
    drop(stream);
    daemon.stop();
}

#[test]
fn state_without_a_directory_refuses_the_hand_over() {
    let (_dir, program, builder) = program();
    let plugin = TestPlugin::new("state")
        .version(1)
        .define("STAMPED")
        .build();
    let daemon = builder
        .plugin("svc", &plugin)
        .service("svc", TCP, "svc")
        .admin()
        .start();
    assert_eq!(ask(daemon.tcp("svc")), "v1 1");
    let verdict = daemon.usr2(None);
    assert!(verdict.is(events::HAND_OVER_REFUSED), "{}", verdict.line);
    assert!(verdict.field("reason").contains("daemon.state-directory"));
    program.upgrade();
    daemon
        .ctl(&["reload"])
        .exits(1)
        .prints("daemon.state-directory");
    assert_eq!(ask(daemon.tcp("svc")), "v1 2");
    daemon.stop();
}
