//! The life of two instances, one `after:` the other, as a list of events: in order, and with hooks that
//! hang, fail, or are late.

use std::time::Duration;

use polyport_e2e::{Builder, Daemon, Event, Log, SOON, TestPlugin, client, events};

/// `store`, and `front` after it, each with a service.
fn two(store: &str, front: &str) -> Builder {
    let plugin = TestPlugin::file("hooks");
    Daemon::builder()
        .state()
        .set("workers: 2")
        .set("hook-timeout: 700ms")
        .set("drain-timeout: 3s")
        // In the file, the later instance comes first.
        .plugin_with(
            "front",
            &plugin,
            &format!("after: [store], config: {front}"),
        )
        .plugin_with("store", &plugin, &format!("config: {store}"))
        .service("store", "tcp://127.0.0.1:0", "store")
        .service("front", "tcp://127.0.0.1:0", "front")
}

/// An event as a line: its name and its instance or service.
fn line(event: &Event) -> String {
    let about = ["instance", "service", "name", "hook", "exit"].map(|field| event.field(field));
    let about: Vec<&str> = about.into_iter().filter(|text| !text.is_empty()).collect();
    [vec![event.message.as_str()], about].concat().join(" ")
}

fn life(log: &Log) -> Vec<String> {
    let events = log.events();
    events
        .iter()
        .filter(|event| events::LIFE_CYCLE.contains(&event.message.as_str()))
        .map(line)
        .collect()
}

#[track_caller]
fn in_order(life: &[String], expected: &[&str]) {
    let mut rest = life.iter();
    for line in expected {
        let found = rest.any(|found| found == line);
        assert!(
            found,
            "`{line}` is missing or out of order in:\n  {}",
            life.join("\n  ")
        );
    }
}

#[test]
fn a_life_in_order() {
    let daemon = two("{}", "{}").start();
    assert!(client::echoes(daemon.tcp("front"), b"hello\n"));
    let log = daemon.log().clone();
    daemon.stop();
    let life = life(&log);
    println!("{}", life.join("\n"));
    let expected = [
        "plugin loaded",
        "instance created store",
        "instance created front",
        "instance started store",
        "instance started front",
        "listening store",
        "listening front",
        "ready",
        "signal TERM",
        "shutdown announced",
        "listener closed store",
        "listener closed front",
        "instance drain front",
        "instance drain store",
        "drain finished",
        "state saved front",
        "instance stopped front",
        "instance destroyed front",
        "state saved store",
        "instance stopped store",
        "instance destroyed store",
        "stopped 0",
    ];
    assert_eq!(life, expected, "\n{}", life.join("\n"));
}

#[test]
fn a_second_life_begins_with_the_state_of_the_first() {
    let state = tempfile::TempDir::new().unwrap();
    let with_state = || {
        Daemon::builder()
            .set(format!("state-directory: {}", state.path().display()))
            .plugin("store", &TestPlugin::file("hooks"))
            .service("store", "tcp://127.0.0.1:0", "store")
    };
    with_state().start().stop();
    let daemon = with_state().start();
    let log = daemon.log().clone();
    daemon.stop();
    in_order(
        &life(&log),
        &[
            "instance created store",
            "state restored store",
            "instance started store",
            "listening store",
            "ready",
        ],
    );
}

/// Stops a daemon one of whose hooks misbehaves, and returns its life.
#[track_caller]
fn misbehaving(store: &str, front: &str, limit: Duration) -> (Vec<String>, Log) {
    let mut daemon = two(store, front)
        .allow_error("hook")
        .allow_error("abandoned")
        .start();
    let log = daemon.log().clone();
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_HOOK);
    assert!(took < limit, "{took:?}");
    drop(daemon);
    (life(&log), log)
}

/// Every other instance was torn down as usual.
const STORE_WENT_WELL: [&str; 4] = [
    "state saved store",
    "instance stopped store",
    "instance destroyed store",
    "stopped 71",
];

#[test]
fn f73_a_stop_hook_that_hangs_is_named_and_passed_over() {
    let (life, log) = misbehaving("{}", "{stop: hang}", Duration::from_secs(5));
    let abandoned = log.wait_named(events::INSTANCE_ABANDONED, SOON);
    assert!(
        abandoned.line.contains("hooks"),
        "the plugin is named: {abandoned:?}"
    );
    assert_eq!(
        (abandoned.field("instance"), abandoned.field("hook")),
        ("front", "stop")
    );
    in_order(
        &life,
        &["state saved front", "instance abandoned front stop"],
    );
    in_order(&life, &STORE_WENT_WELL);
    assert!(
        !life.contains(&"instance destroyed front".to_owned()),
        "{life:?}"
    );
}

#[test]
fn f73_a_save_hook_that_hangs_is_named_and_passed_over() {
    let (life, _) = misbehaving("{}", "{save_state: hang}", Duration::from_secs(5));
    in_order(&life, &["instance abandoned front save_state"]);
    in_order(&life, &STORE_WENT_WELL);
    assert!(
        !life.contains(&"instance stopped front".to_owned()),
        "{life:?}"
    );
}

#[test]
fn f73_a_destroy_hook_that_hangs_is_named_and_passed_over() {
    let (life, _) = misbehaving("{}", "{destroy: hang}", Duration::from_secs(5));
    in_order(
        &life,
        &["instance stopped front", "instance abandoned front destroy"],
    );
    in_order(&life, &STORE_WENT_WELL);
}

#[test]
fn f73_a_drain_hook_that_hangs_is_given_the_grace_period() {
    let (life, _) = misbehaving("{}", "{drain: hang}", Duration::from_secs(9));
    in_order(
        &life,
        &["instance drain front", "instance abandoned front drain"],
    );
    in_order(&life, &STORE_WENT_WELL);
}

#[test]
fn f73_a_hook_that_is_late_is_reported_and_the_next_one_called() {
    let (life, _) = misbehaving("{}", "{stop: never}", Duration::from_secs(5));
    in_order(
        &life,
        &[
            "state saved front",
            "hook overran front stop",
            "instance destroyed front",
        ],
    );
    in_order(&life, &STORE_WENT_WELL);
}

#[test]
fn f73_a_hook_that_fails_is_reported_and_the_next_one_called() {
    let (life, _) = misbehaving("{}", "{save_state: fail}", Duration::from_secs(5));
    in_order(
        &life,
        &[
            "hook failed front save_state",
            "instance stopped front",
            "instance destroyed front",
        ],
    );
    in_order(&life, &STORE_WENT_WELL);
}

#[test]
fn f73_everything_that_can_go_wrong_goes_wrong_at_once() {
    let (life, _) = misbehaving(
        "{stop: hang}",
        "{save_state: fail, stop: never}",
        Duration::from_secs(8),
    );
    in_order(
        &life,
        &[
            "hook failed front save_state",
            "hook overran front stop",
            "instance destroyed front",
        ],
    );
    in_order(&life, &["instance abandoned store stop", "stopped 71"]);
}

#[test]
fn f73_the_whole_stop_has_its_budget_however_many_hooks_hang() {
    let plugin = TestPlugin::file("hooks");
    let mut builder = Daemon::builder()
        .state()
        .set("drain-timeout: 1s")
        .set("hook-timeout: 2s")
        .set("stop-timeout: 3s")
        .service("one", "tcp://127.0.0.1:0", "one")
        .allow_error("abandoned")
        .allow_error("stopped at once");
    for name in ["one", "two", "three", "four", "five"] {
        builder = builder.plugin_with(name, &plugin, "config: {stop: hang}");
    }
    let mut daemon = builder.start();
    let (took, code) = daemon.timed_stop();
    assert!(
        [events::EXIT_HOOK, events::EXIT_FORCED].contains(&code),
        "{code}"
    );
    assert!(took < Duration::from_secs(7), "{took:?}");
}

#[test]
fn hooks_that_end_later_are_waited_for() {
    let config = "{start: later, drain: later, save_state: later, stop: later}";
    let daemon = two(config, config).start();
    assert!(client::echoes(daemon.tcp("front"), b"hello\n"));
    let log = daemon.log().clone();
    daemon.stop();
    in_order(
        &life(&log),
        &[
            "instance started store",
            "instance started front",
            "ready",
            "instance stopped front",
        ],
    );
}

/// A daemon that cannot start names the instance and rolls back.
#[track_caller]
fn cannot_start(front: &str, code: i32, says: &[&str]) {
    let finished = two("{}", front).run();
    finished.exits(code);
    for word in says {
        finished.prints(word);
    }
    assert!(!finished.text.contains("\"ready\""), "{}", finished.text);
    // Started instances are stopped.
    finished.prints("svc destroy");
}

#[test]
fn an_instance_that_cannot_be_created_ends_the_start() {
    cannot_start(
        "{create: fail}",
        events::EXIT_CONFIG,
        &["front", "create has no wish to"],
    );
}

#[test]
fn an_instance_whose_create_hangs_ends_the_start() {
    cannot_start("{create: hang}", events::EXIT_HOOK, &["front", "create"]);
}

#[test]
fn an_instance_that_fails_to_start_ends_the_start() {
    cannot_start("{start: fail}", events::EXIT_HOOK, &["front", "start"]);
}

#[test]
fn an_instance_whose_start_hangs_ends_the_start() {
    cannot_start("{start: hang}", events::EXIT_HOOK, &["front", "start"]);
}

#[test]
fn an_instance_whose_start_never_ends_ends_the_start() {
    cannot_start("{start: never}", events::EXIT_HOOK, &["front", "start"]);
}

#[test]
fn a_circle_of_after_is_a_configuration_error() {
    let plugin = TestPlugin::file("hooks");
    let finished = Daemon::builder()
        .plugin_with("a", &plugin, "after: [b]")
        .plugin_with("b", &plugin, "after: [a]")
        .service("a", "tcp://127.0.0.1:0", "a")
        .check();
    finished.exits(events::EXIT_CONFIG).prints("after");
}
