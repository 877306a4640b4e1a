//! Executables that do not take over: whatever they do, the old process serves on as before.

use std::time::Duration;

use polyport_e2e::upgrade::Program;
use polyport_e2e::{Builder, Daemon, Manager, SOON, client, events, process, wait};
use tempfile::TempDir;

/// The daemon's limit for a new process, and some more.
const HANGS: Duration = Duration::from_secs(80);

fn program() -> (TempDir, Program, Builder) {
    let dir = TempDir::new().unwrap();
    let program = Program::new(dir.path());
    let builder = Daemon::builder()
        .program(program.path())
        .echo()
        .allow_error("hand-over failed")
        .allow_error("reload failed");
    (dir, program, builder)
}

#[test]
fn f77_an_executable_that_ends_changes_nothing() {
    let (dir, program, builder) = program();
    let manager = Manager::new();
    let daemon = builder.under(&manager).start();
    let mut stream = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut stream, b"before");
    let scripts = [
        ("exit 1", "ended with code 1 "),
        ("exit 0", "ended with code 0 "),
        ("exit 1", "ended with code 1 "),
        (
            "echo first >&2; echo 'error: this is no daemon' >&2; exit 78",
            "ended with code 78 before it served: error: this is no daemon",
        ),
        ("kill -SEGV $$", "was ended by signal 11"),
        (
            "exec /bin/sh -c 'echo \"$LISTEN_FDS $((LISTEN_PID - $$))\" >&2; exit 3'",
            "ended with code 3 before it served: 4 0",
        ),
    ];
    let before = process::descriptors(daemon.pid());
    for (script, reason) in scripts {
        program.script(script);
        for verdict in [daemon.usr2(None), daemon.hup(None)] {
            let good = verdict.is(events::HAND_OVER_FAILED) || verdict.is(events::RELOAD_FAILED);
            assert!(good, "{}", verdict.line);
            let said = verdict.field("reason").to_owned();
            assert!(said.contains(reason), "{script}: {said}");
            client::expect_echo(&mut stream, b"still");
            assert!(client::echoes(daemon.tcp("echo"), b"and new ones"));
        }
        assert_eq!(process::children(daemon.pid()), 0, "a child after {script}");
        wait::until("descriptors go", SOON, || {
            (process::descriptors(daemon.pid()) <= before).then_some(())
        });
    }
    let told = manager.messages();
    assert!(told.iter().all(|message| message.word("MAINPID").is_none()));
    let mut left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["polyportd"], "no file is left");
    drop(stream);
    daemon.stop();
}

#[test]
fn f77_a_file_that_is_no_executable_changes_nothing() {
    let (_dir, program, builder) = program();
    let daemon = builder.start();
    program.put(b"neither ELF nor script\0");
    let verdict = daemon.usr2(None);
    assert!(verdict.is(events::HAND_OVER_FAILED), "{}", verdict.line);
    assert!(
        verdict.field("reason").contains("polyportd"),
        "{}",
        verdict.line
    );
    std::fs::remove_file(program.path()).unwrap();
    // A removed file is no other executable: a reload stays a reload.
    daemon.reload_unchanged();
    let verdict = daemon.usr2(None);
    assert!(verdict.is(events::HAND_OVER_FAILED), "{}", verdict.line);
    assert!(client::echoes(daemon.tcp("echo"), b"serves"));
    daemon.stop();
}

#[test]
fn a_configuration_that_the_new_process_refuses_changes_nothing() {
    let (_dir, program, builder) = program();
    let mut daemon = builder.admin().allow_error("nonsense").start();
    let good = daemon.draft();
    program.upgrade();
    daemon.edit(|draft| draft.set("nonsense: 1"));
    daemon.ctl(&["reload"]).exits(1).prints("polyport.yaml:");
    daemon.ctl(&["status"]).exits(0).prints("has changed");
    daemon.edit(|_| good);
    daemon
        .ctl(&["reload"])
        .exits(0)
        .prints("handed over to process");
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    let pid = daemon.listing("status")["pid"].as_i64().unwrap();
    let new_process = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(new_process, polyport_e2e::Signal::SIGTERM).unwrap();
}

#[test]
fn a_listener_that_the_new_process_cannot_open_changes_nothing() {
    let (_dir, program, builder) = program();
    let mut daemon = builder.allow_error("cannot start").start();
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = format!("tcp://{}", busy.local_addr().unwrap());
    daemon.edit(|draft| draft.service("busy", &listen, "echo", ""));
    program.upgrade();
    let verdict = daemon.hup(None);
    assert!(verdict.is(events::RELOAD_FAILED), "{}", verdict.line);
    assert!(verdict.field("reason").contains("cannot listen on"));
    assert!(client::echoes(daemon.tcp("echo"), b"serves"));
    let socket = client::udp(daemon.udp("echo"));
    assert_eq!(client::datagram(&socket, b"it too"), b"it too");
    daemon.stop();
}

#[test]
fn f77_a_new_process_that_hangs_is_killed_and_reloads_wait_for_it() {
    let (_dir, program, builder) = program();
    let daemon = builder.admin().start();
    let before = process::descriptors(daemon.pid());
    program.script("echo hanging >&2\nexec sleep 1000");
    let seen = daemon.log().events().len();
    daemon.signal(polyport_e2e::Signal::SIGUSR2);
    daemon.log().wait_for("says: hanging", SOON);
    daemon.ctl(&["status"]).exits(0).prints("reloading");
    assert!(client::echoes(daemon.tcp("echo"), b"meanwhile"));
    let verdict = daemon
        .log()
        .find(HANGS, |event| event.is(events::HAND_OVER_FAILED))
        .expect("a verdict");
    let reason = verdict.field("reason");
    assert!(reason.contains("did not serve within 60 s"), "{reason}");
    assert!(reason.contains("hanging"), "{reason}");
    assert!(daemon.log().events().len() > seen);
    assert_eq!(process::children(daemon.pid()), 0);
    wait::until("its descriptors go", SOON, || {
        (process::descriptors(daemon.pid()) <= before).then_some(())
    });
    assert!(client::echoes(daemon.tcp("echo"), b"afterwards"));
    daemon.stop();
}

#[test]
fn a_stop_does_not_wait_for_a_new_process_that_hangs() {
    let (_dir, program, builder) = program();
    let mut daemon = builder.start();
    program.script("echo hanging >&2\nexec sleep 1000");
    daemon.signal(polyport_e2e::Signal::SIGUSR2);
    daemon.log().wait_for("says: hanging", SOON);
    let (time, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_CLEAN);
    assert!(time < Duration::from_secs(10), "{time:?}");
}
