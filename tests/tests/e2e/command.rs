//! The command line and the exit codes: 0, 2, 70, 71, 73, 78 (1 is for internal faults).

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::time::Instant;

use polyport_e2e::run::to_end;
use polyport_e2e::{
    Builder, Daemon, Finished, SOON, TestPlugin, binaries, client, events, process,
};

fn polyportd(arguments: &[&str]) -> Finished {
    to_end(
        Command::new(binaries::polyportd()).args(arguments),
        b"",
        SOON,
    )
}

fn plain(listen: &str) -> Builder {
    Daemon::builder()
        .plugin("plain", &TestPlugin::file("plain"))
        .service("plain", listen, "plain")
}

#[test]
fn version_and_help_end_with_0() {
    let version = polyportd(&["--version"]);
    version
        .exits(0)
        .prints("polyportd")
        .prints(env!("CARGO_PKG_VERSION"));
    assert_eq!(version.text.lines().count(), 1, "{}", version.text);
    polyportd(&["--help"])
        .exits(0)
        .prints("--config")
        .prints("--check")
        .prints("--quiet");
}

#[test]
fn wrong_usage_ends_with_2() {
    polyportd(&["--no-such-option"])
        .exits(events::EXIT_USAGE)
        .prints("--no-such-option");
    polyportd(&["one", "two"]).exits(events::EXIT_USAGE);
    polyportd(&["--config"]).exits(events::EXIT_USAGE);
}

#[test]
fn a_missing_configuration_ends_with_78() {
    polyportd(&["--config", "/nowhere/polyport.yaml"])
        .exits(events::EXIT_CONFIG)
        .prints("/nowhere/polyport.yaml");
    polyportd(&["--check", "--config", "/nowhere/polyport.yaml"]).exits(events::EXIT_CONFIG);
}

#[test]
fn a_good_configuration_is_checked_without_a_trace() {
    let builder = plain("tcp://127.0.0.1:0").state().argument("--check");
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    // The port is taken: a check that opened it would fail.
    let builder = builder.service(
        "taken",
        &format!("tcp://{}", port.local_addr().unwrap()),
        "plain",
    );
    let dir = builder.dir().to_owned();
    builder.run().exits(0);
    let mut left: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["polyport.yaml", "state"]);
    assert_eq!(fs::read_dir(dir.join("state")).unwrap().count(), 0);
}

const THREE_FAULTS: &str = "daemon:\n  workres: 2\n  drain-timeout: 5 parsecs\nservices:\n  echo:\n    listen: tcp://127.0.0.1:0\n";

#[test]
fn every_fault_is_printed_with_its_place_in_one_run() {
    let finished = Daemon::builder().config(THREE_FAULTS).check();
    finished.exits(events::EXIT_CONFIG);
    for place in [
        "polyport.yaml:2:3",
        "polyport.yaml:3:18",
        "polyport.yaml:6:5",
    ] {
        finished.prints(place);
    }
    finished.prints("workers").prints("handler");
    assert_eq!(finished.faults().len(), 3, "{}", finished.text);
}

#[test]
fn a_fault_of_a_plugin_stands_beside_the_others() {
    let yaml = format!(
        "log: {{levle: info}}\nplugins:\n  bad: {{library: {}}}\n  worse: {{library: {}}}\n\
         services:\n  bad: {{listen: tcp://127.0.0.1:0, handler: bad}}\n",
        TestPlugin::file("no_note").display(),
        TestPlugin::file("no_entry").display()
    );
    let finished = Daemon::builder().config(yaml).check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("polyport.yaml:1:")
        .prints("levle");
}

#[test]
fn both_bad_plugins_are_said_with_their_places() {
    let yaml = format!(
        "plugins:\n  bad: {{library: {}}}\n  worse: {{library: {}}}\n\
         services:\n  bad: {{listen: tcp://127.0.0.1:0, handler: bad}}\n  worse: {{listen: tcp://127.0.0.1:0, handler: worse}}\n",
        TestPlugin::file("no_note").display(),
        TestPlugin::file("no_entry").display()
    );
    let finished = Daemon::builder().config(yaml).check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("polyport.yaml:2:")
        .prints("polyport.yaml:3:");
    assert_eq!(finished.faults().len(), 2, "{}", finished.text);
}

#[test]
fn quiet_prints_nothing() {
    let bad = Daemon::builder()
        .config(THREE_FAULTS)
        .argument("--quiet")
        .check();
    assert_eq!((bad.code, bad.text.as_str()), (events::EXIT_CONFIG, ""));
    let good = plain("tcp://127.0.0.1:0").argument("--quiet").check();
    assert_eq!((good.code, good.text.as_str()), (0, ""));
}

#[test]
fn keys_of_later_versions_are_refused_as_unknown() {
    for line in [
        "tls: {}",
        "routes: []",
        "framing: {}",
        "access: {}",
        "proxy-protocol: accept",
    ] {
        let yaml = format!(
            "services:\n  echo:\n    listen: tcp://127.0.0.1:0\n    handler: echo\n    {line}\n"
        );
        let finished = Daemon::builder().config(yaml).check();
        finished
            .exits(events::EXIT_CONFIG)
            .prints("polyport.yaml:5:5");
    }
}

#[test]
fn a_bad_configuration_does_not_start() {
    Daemon::builder()
        .config(THREE_FAULTS)
        .run()
        .exits(events::EXIT_CONFIG)
        .prints("polyport.yaml:2:3");
}

#[test]
fn a_configuration_that_is_no_file_is_refused_at_once() {
    for path in ["/tmp", "/dev/zero"] {
        let begin = Instant::now();
        polyportd(&["--check", "--config", path])
            .exits(events::EXIT_CONFIG)
            .prints(path);
        assert!(begin.elapsed() < SOON / 2, "{path}: {:?}", begin.elapsed());
    }
}

#[test]
fn f35_a_port_that_is_taken_ends_with_73_after_some_tries() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let begin = Instant::now();
    let finished = plain(&format!("tcp://{address}")).run();
    finished
        .exits(events::EXIT_BIND)
        .prints(&address.to_string());
    assert!(begin.elapsed().as_millis() >= 1500, "{:?}", begin.elapsed());

    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let finished = Daemon::builder()
        .plugin("datagrams", &TestPlugin::file("datagrams"))
        .service("datagrams", &format!("udp://{address}"), "datagrams")
        .run();
    finished
        .exits(events::EXIT_BIND)
        .prints(&address.to_string());
}

#[test]
fn f35_a_port_that_becomes_free_in_time_is_taken() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap();
    let daemon = plain(&format!("tcp://{address}")).spawn();
    daemon.log().wait_named(events::INSTANCE_STARTED, SOON);
    drop(holder);
    daemon.log().wait_named(events::READY, SOON);
    assert!(client::echoes(address, b"hello\n"));
    daemon.stop();
}

#[test]
fn f36_an_address_that_is_not_ours_ends_with_73() {
    plain("tcp://192.0.2.1:7")
        .run()
        .exits(events::EXIT_BIND)
        .prints("192.0.2.1:7");
}

#[test]
fn a_daemon_at_rest_takes_no_time() {
    let daemon = plain("tcp://127.0.0.1:0").set("workers: 2").start();
    assert!(client::echoes(daemon.tcp("plain"), b"hello\n"));
    let share = process::cpu_share(daemon.pid(), std::time::Duration::from_secs(2));
    println!("share of one processor at rest: {:.2} %", share * 100.0);
    assert!(share < 0.01, "{share}");
    daemon.stop();
}

#[test]
fn a_name_on_the_plugin_path_is_found_and_an_unknown_name_explained() {
    let folder = TestPlugin::file("plain")
        .parent()
        .unwrap()
        .display()
        .to_string();
    let daemon = Daemon::builder().set(format!("plugin-path: [/nowhere, {folder}]"));
    let daemon = daemon
        .service("plain", "tcp://127.0.0.1:0", "plain")
        .start();
    assert!(client::echoes(daemon.tcp("plain"), b"hello\n"));
    daemon.stop();
    let finished = Daemon::builder()
        .set(format!("plugin-path: [{folder}]"))
        .service("plain", "tcp://127.0.0.1:0", "plian")
        .check();
    finished
        .exits(events::EXIT_CONFIG)
        .prints("plian")
        .prints("polyport.yaml:");
}

#[test]
fn a_sealed_plugin_serves_and_every_flipped_byte_is_refused() {
    let room = tempfile::tempdir().unwrap();
    let file = room.path().join("plain.so");
    fs::copy(TestPlugin::file("plain"), &file).unwrap();
    let path = file.to_str().unwrap();
    polyportd(&["seal", path]).exits(events::EXIT_CLEAN);
    let builder = || {
        Daemon::builder()
            .plugin("svc", &file)
            .service("svc", "tcp://127.0.0.1:0", "svc")
    };
    let daemon = builder().start();
    assert!(client::echoes(daemon.tcp("svc"), b"hello\n"));
    daemon.stop();
    let sealed = fs::read(&file).unwrap();
    for place in (0x300..sealed.len()).step_by(sealed.len() / 8) {
        let mut damaged = sealed.clone();
        damaged[place] ^= 1;
        fs::write(&file, damaged).unwrap();
        builder().check().exits(events::EXIT_CONFIG);
    }
    polyportd(&["seal", "/nowhere.so"]).exits(events::EXIT_CONFIG);
}
