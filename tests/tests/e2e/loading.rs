//! Faults 12, 13 and 16 to 20: plugins that misbehave while their code is loaded, and code that is replaced.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use polyport_e2e::{Builder, Daemon, Finished, SOON, TestPlugin, client, events};
use tempfile::TempDir;

fn with(plugin: &Path) -> Builder {
    Daemon::builder()
        .plugin("svc", plugin)
        .service("svc", "tcp://127.0.0.1:0", "svc")
}

#[track_caller]
fn refused(plugin: &Path) -> Finished {
    let finished = with(plugin).check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints(&plugin.file_name().unwrap().to_string_lossy());
    with(plugin).run().exits(events::EXIT_CONFIG);
    finished
}

fn ask(daemon: &Daemon, service: &str) -> String {
    let mut stream = client::tcp(daemon.tcp(service));
    stream.write_all(b"?\n").unwrap();
    client::read_line(&mut stream)
}

#[test]
fn f12_a_plugin_overwritten_in_place_while_it_serves_does_no_harm() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("libpolyport_version.so");
    fs::copy(TestPlugin::file("version"), &path).unwrap();
    let daemon = with(&path).start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    let other = fs::read(TestPlugin::new("version").define("VERSION=\"2\"").build()).unwrap();
    for round in 0..20 {
        // Truncate and write, as `cat new.so > plugin.so` does.
        fs::write(
            &path,
            if round % 2 == 0 {
                &other[..]
            } else {
                b"rubbish"
            },
        )
        .unwrap();
        stream.write_all(b"?\n").unwrap();
        assert_eq!(client::read_line(&mut stream), "version 1");
        assert_eq!(ask(&daemon, "svc"), "version 1");
    }
    drop(stream);
    daemon.stop();
}

#[test]
fn f13_a_new_file_under_the_same_path_is_new_code() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("libpolyport_version.so");
    fs::copy(TestPlugin::file("version"), &path).unwrap();
    let daemon = with(&path).start();
    assert_eq!(ask(&daemon, "svc"), "version 1");
    let first = daemon.log().wait_named(events::PLUGIN_LOADED, SOON);

    let next = dir.path().join("next");
    fs::copy(
        TestPlugin::new("version").define("VERSION=\"2\"").build(),
        &next,
    )
    .unwrap();
    fs::rename(&next, &path).unwrap();
    daemon.hang_up("the new file serves", events::is_good_verdict);
    assert_eq!(ask(&daemon, "svc"), "version 2");
    let loaded = daemon.log().events();
    let mut loaded = loaded
        .iter()
        .filter(|event| event.is(events::PLUGIN_LOADED));
    let second = loaded.next_back().unwrap();
    assert_ne!(
        first.field("digest"),
        second.field("digest"),
        "{first:?} {second:?}"
    );
    daemon.stop();
}

#[test]
fn f16_a_constructor_that_crashes_is_met_by_a_child_only() {
    refused(&TestPlugin::file("ctor_crash"));
}

#[test]
fn f16_a_constructor_that_hangs_is_given_up() {
    let begin = Instant::now();
    refused(&TestPlugin::file("ctor_hang"));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn f16_a_constructor_that_ends_the_process_is_no_success() {
    refused(&TestPlugin::file("ctor_exit"));
}

#[test]
fn f16_a_daemon_that_serves_is_not_disturbed_by_bad_constructors() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("libpolyport_plain.so");
    fs::copy(TestPlugin::file("plain"), &path).unwrap();
    let daemon = with(&path)
        .allow_error("libpolyport_plain.so")
        .allow_error("configuration is bad")
        .allow_error(events::RELOAD_FAILED)
        .start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    for bad in ["ctor_crash", "ctor_exit", "init_fail"] {
        let next = dir.path().join("next");
        fs::copy(TestPlugin::file(bad), &next).unwrap();
        fs::rename(&next, &path).unwrap();
        daemon.hang_up(bad, events::is_bad_verdict);
        client::expect_echo(&mut stream, b"still here\n");
    }
    drop(stream);
    daemon.stop();
}

#[test]
fn f17_an_init_that_hangs_is_refused_in_time() {
    let begin = Instant::now();
    refused(&TestPlugin::file("init_hang")).prints("init");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn f18_an_init_that_fails_is_refused() {
    refused(&TestPlugin::file("init_fail"))
        .prints("init")
        .prints("the moon is not full");
}

#[test]
fn f18_a_thread_that_init_leaves_behind_keeps_its_code() {
    let daemon = with(&TestPlugin::file("init_thread")).start();
    assert!(client::echoes(daemon.tcp("svc"), b"hello\n"));
    daemon.stop();
    refused(
        &TestPlugin::new("init_thread")
            .called("init_thread_fails")
            .define("RESULT=PP_E_FAIL")
            .build(),
    );
}

#[test]
fn f19_one_plugin_twice_keeps_its_instances_apart() {
    let plugin = TestPlugin::file("named");
    let daemon = Daemon::builder()
        .plugin_with("one", &plugin, "config: {number: 1}")
        .plugin_with("two", &plugin, "config: {number: 2}")
        .service("one", "tcp://127.0.0.1:0", "one")
        .service("two", "tcp://127.0.0.1:0", "two")
        .start();
    assert_eq!(ask(&daemon, "one"), "number 1 asked 1");
    assert_eq!(ask(&daemon, "one"), "number 1 asked 2");
    assert_eq!(ask(&daemon, "two"), "number 2 asked 1");
    assert_eq!(
        daemon.log().named(events::PLUGIN_LOADED).len(),
        1,
        "one generation for both"
    );
    daemon.stop();
}

#[test]
fn f20_two_plugins_with_the_same_symbols_do_not_meet() {
    let clash = |value: &str| {
        TestPlugin::new("clash")
            .called(&format!("clash_{value}"))
            .define(&format!("VALUE={value}"))
    };
    let daemon = Daemon::builder()
        .plugin("a", &clash("1").build())
        .plugin("b", &clash("2").build())
        .service("a", "tcp://127.0.0.1:0", "a")
        .service("b", "tcp://127.0.0.1:0", "b")
        .start();
    assert_eq!(ask(&daemon, "a"), "value 1 of 1");
    assert_eq!(ask(&daemon, "b"), "value 2 of 2");
    daemon.stop();
}

#[test]
fn a_plugin_that_finds_fault_with_its_configuration_shows_the_place() {
    let yaml = format!(
        "plugins:\n  svc:\n    library: {}\n    config:\n      number: 1\n      mood: bad\n\
         services:\n  svc: {{listen: [\"tcp://127.0.0.1:0\"], handler: svc}}\n",
        TestPlugin::file("named").display()
    );
    let finished = Daemon::builder().config(yaml).check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("a bad mood is not allowed here");
    finished.prints_one_of(&["polyport.yaml:6:13", "polyport.yaml:6:7"]);
}

#[test]
fn a_handler_that_does_not_exist_is_named() {
    let finished = Daemon::builder()
        .plugin_with("svc", &TestPlugin::file("plain"), "handler: other")
        .service("svc", "tcp://127.0.0.1:0", "svc")
        .check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("other")
        .prints("plain");
}

#[test]
fn a_private_copy_runs() {
    let daemon = with(&TestPlugin::file("plain")).start();
    let mut maps = String::new();
    let mut file = fs::File::open(format!("/proc/{}/maps", daemon.pid())).unwrap();
    file.read_to_string(&mut maps).unwrap();
    assert!(
        !maps.contains("libpolyport_plain.so"),
        "the operator's file is mapped"
    );
    assert!(maps.contains("/memfd:"), "no private copy is mapped");
    daemon.stop();
}
