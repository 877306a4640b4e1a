//! The admin socket of the real daemon: used by `polyportctl`, by `curl`, and by users without permission.

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::{getegid, geteuid};
use polyport_e2e::run::to_end;
use polyport_e2e::{Builder, Daemon, Finished, SOON, TestPlugin, binaries, client, events, wait};
use tempfile::TempDir;

/// Logged when a peer has no permission.
const DENIED: &str = "may not ask";
/// Logged for each requested change.
const ASKED: &str = "admin: a change is asked for";
/// Another user, in these groups.
const NOBODY: [&str; 3] = ["--reuid=65534", "--regid=65534", "--clear-groups"];

fn with_admin() -> Builder {
    Daemon::builder().echo().admin()
}

fn curl(socket: &Path, words: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--unix-socket"]);
    to_end(command.arg(socket).args(words), b"", SOON)
}

/// `polyportctl status` as another user; `None` where this user may not become one.
fn status_as(who: &[&str], daemon: &Daemon) -> Option<Finished> {
    if !geteuid().is_root() {
        println!("left out: only root may become somebody else");
        return None;
    }
    // The folder of a test is closed to other users.
    fs::set_permissions(daemon.dir(), Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(who).arg(binaries::polyportctl());
    command.arg("--socket").arg(daemon.admin_socket());
    Some(to_end(command.arg("status"), b"", SOON))
}

#[test]
fn status_shows_the_state_of_the_daemon() {
    let daemon = with_admin().start();
    let pid = daemon.pid();
    daemon
        .ctl(&["status"])
        .exits(0)
        .prints(&format!("pid {pid}: ready"));
    let status = daemon.listing("status");
    assert_eq!(status["state"], "ready");
    assert_eq!(status["pid"], pid);
    assert_eq!(status["last_change"]["asked_by"], "start");
    assert_eq!(status["changes"]["applied"], 1);
    daemon.stop();
}

#[test]
fn services_show_their_sockets_and_streams() {
    let daemon = with_admin().start();
    let mut stream = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut stream, b"hello");
    let services = daemon.listing("services");
    let echo = &services["services"][0];
    assert_eq!(
        (&echo["name"], &echo["plugin"]),
        (&"echo".into(), &"echo".into())
    );
    assert_eq!(echo["streams"], 1);
    let addresses = [
        format!("tcp://{}", daemon.tcp("echo")),
        format!("udp://{}", daemon.udp("echo")),
    ];
    for (at, address) in addresses.iter().enumerate() {
        assert_eq!(echo["listeners"][at]["address"], **address);
        daemon.ctl(&["services"]).exits(0).prints(address);
    }
    daemon.stop();
}

#[test]
fn plugins_show_what_is_in_memory() {
    let daemon = with_admin().start();
    let plugins = daemon.listing("plugins");
    let generation = &plugins["generations"][0];
    assert_eq!(generation["plugin"], "echo");
    assert_eq!(generation["state"], "serving");
    assert_eq!(generation["digest"].as_str().unwrap().len(), 64);
    assert_eq!(generation["instances"][0]["name"], "echo");
    let listed = daemon.ctl(&["plugins", "list"]);
    listed.exits(0).prints("serving").prints("echo (echo)");
    daemon.stop();
}

#[test]
fn a_plan_is_shown_and_changes_nothing() {
    let mut daemon = with_admin().start();
    let before = daemon.listing("services");
    daemon.edit(|draft| draft.service("more", "tcp://127.0.0.1:0", "echo", ""));
    let planned = daemon.ctl(&["plan"]);
    planned
        .exits(0)
        .prints("+ more: added")
        .prints("of more: opened");
    assert_eq!(daemon.listing("services"), before);
    assert_eq!(daemon.listing("plan")["verdict"], "planned");
    // It changes nothing, so it is not logged.
    assert!(daemon.log().named(ASKED).is_empty());
    daemon.stop();
}

#[test]
fn a_plan_of_a_bad_configuration_says_every_fault() {
    let mut daemon = with_admin().allow_error("configuration").start();
    let more = "lisen: 1, timeouts: {idle: soon}";
    daemon.edit(|draft| draft.service("bad", "tcp://127.0.0.1:0", "echo", more));
    let planned = daemon.ctl(&["plan"]);
    planned.exits(1).prints("polyport.yaml:");
    planned.prints("did you mean `listen`").prints("`soon`");
    assert!(planned.stdout.is_empty(), "{}", planned.text);
    daemon.stop();
}

#[test]
fn a_reload_is_waited_for_and_its_verdict_is_the_exit_code() {
    let mut daemon = with_admin()
        .allow_error("configuration")
        .allow_error("reload failed")
        .start();
    daemon.edit(|draft| draft.service("more", "tcp://127.0.0.1:0", "echo", ""));
    daemon
        .ctl(&["reload"])
        .exits(0)
        .prints("+ more: added")
        .prints("applied");
    // The change is in force when the client has returned.
    client::expect_echo(&mut client::tcp(daemon.tcp("more")), b"hello");
    let asked = daemon.log().wait_named(ASKED, SOON);
    assert_eq!(
        (asked.field("asks"), asked.field("uid")),
        ("reload", &*geteuid().to_string())
    );

    daemon.edit(|draft| draft.service("bad", "tcp://127.0.0.1:0", "nobody", ""));
    let failed = daemon.ctl(&["reload"]);
    failed.exits(1).prints("nobody").prints("failed");
    client::expect_echo(&mut client::tcp(daemon.tcp("more")), b"hello");
    assert_eq!(
        daemon.listing("status")["last_failure"]["verdict"],
        "failed"
    );
    daemon.stop();
}

#[test]
fn an_impossible_request_is_refused_with_the_possible_ones() {
    let daemon = with_admin().start();
    daemon
        .ctl(&["drain", "ecko"])
        .exits(1)
        .prints("there is echo");
    daemon
        .ctl(&["plugins", "rollback", "ecko"])
        .exits(1)
        .prints("there is echo");
    daemon
        .ctl(&["plugins", "rollback", "echo"])
        .exits(1)
        .prints("refused");
    daemon.ctl(&["confirm"]).exits(1).prints("refused");
    daemon
        .ctl(&["reload", "--confirm", "soon"])
        .exits(2)
        .prints("soon");
    daemon.stop();
}

#[test]
fn curl_is_answered_in_json() {
    let builder = with_admin().service("more", "tcp://127.0.0.1:0", "echo");
    let daemon = builder.start();
    let socket = daemon.admin_socket();
    let status = curl(&socket, &["http://polyport/v1/status"]);
    status.exits(0).prints("\n  \"state\": \"ready\",\n");
    let json: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(json["pid"], daemon.pid());
    curl(&socket, &["--fail", "http://polyport/livez"])
        .exits(0)
        .prints("alive");
    curl(&socket, &["--fail", "http://polyport/readyz"])
        .exits(0)
        .prints("ready");
    daemon.ctl(&["ready"]).exits(0).prints("ready");
    let drained = curl(
        &socket,
        &["-X", "POST", "http://polyport/v1/drain/more?wait=true"],
    );
    drained.exits(0).prints("\"verdict\": \"applied\"");
    curl(&socket, &["http://polyport/v1"])
        .prints("there is no path")
        .prints("POST /v1/drain/NAME");
    daemon.stop();
}

#[test]
fn metrics_can_be_scraped() {
    let daemon = with_admin().start();
    let text = daemon.ctl(&["metrics"]).exits(0).text.clone();
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("polyport_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let family = name.split('{').next().unwrap();
        assert!(text.contains(&format!("# TYPE {family} ")), "{line}");
    }
    assert!(
        text.contains("polyport_service_streams{service=\"echo\"} 0\n"),
        "{text}"
    );
    daemon.stop();
}

#[test]
fn other_users_are_refused_and_logged() {
    let daemon = with_admin().start();
    let Some(refused) = status_as(&NOBODY, &daemon) else {
        return;
    };
    // The file's mode is before the daemon's own check.
    refused
        .exits(69)
        .prints("may not be opened by this user")
        .prints("a member of the group");
    fs::set_permissions(daemon.admin_socket(), Permissions::from_mode(0o666)).unwrap();
    let refused = status_as(&NOBODY, &daemon).unwrap();
    refused
        .exits(69)
        .prints("only root, the daemon's own user and members of its group may ask");
    let denied = daemon.log().wait_for(DENIED, SOON);
    assert_eq!(
        (denied.level.as_str(), denied.field("uid")),
        ("WARN", "65534")
    );
    daemon.stop();
}

#[test]
fn members_of_the_daemons_group_are_allowed() {
    let daemon = with_admin().start();
    let own = getegid();
    let main = [NOBODY[0], &format!("--regid={own}"), "--clear-groups"];
    let further = [NOBODY[0], NOBODY[1], &format!("--groups=7,{own}")];
    for who in [main, further] {
        let Some(finished) = status_as(&who, &daemon) else {
            return;
        };
        finished.exits(0).prints("ready");
    }
    assert!(!daemon.log().contains(DENIED));
    daemon.stop();
}

#[test]
fn the_file_is_for_owner_and_group_and_goes_with_the_daemon() {
    let mut daemon = with_admin().start();
    let socket = daemon.admin_socket();
    let found = fs::metadata(&socket).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    assert_eq!(found.gid(), getegid().as_raw());
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
    assert!(!socket.exists());
}

fn at(socket: &Path) -> Builder {
    let section = format!("{{socket: {}}}", socket.display());
    Daemon::builder()
        .echo()
        .draft(|draft| draft.section("admin", &section))
}

#[test]
fn a_file_that_a_killed_daemon_left_is_replaced() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("admin.sock");
    let mut first = at(&socket).start();
    first.signal(Signal::SIGKILL);
    assert_eq!(first.wait_exit(SOON), 128 + 9);
    assert!(socket.exists());
    let second = at(&socket).start();
    curl(&socket, &["http://polyport/v1/status"]).prints(&format!("\"pid\": {}", second.pid()));
    second.stop();
}

#[test]
fn the_socket_of_a_live_daemon_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("admin.sock");
    let first = at(&socket).start();
    let second = at(&socket).run();
    second
        .exits(events::EXIT_BIND)
        .prints("admin socket")
        .prints("in use");
    curl(&socket, &["http://polyport/v1/status"]).prints(&format!("\"pid\": {}", first.pid()));
    first.stop();
}

#[test]
fn without_a_socket_there_is_none() {
    let daemon = Daemon::builder().echo().start();
    assert!(!daemon.admin_socket().exists());
    daemon
        .ctl(&["status"])
        .exits(69)
        .prints("is polyportd running");
    daemon.stop();
}

#[test]
fn both_programs_find_the_service_managers_directory() {
    let dir = TempDir::new().unwrap();
    let builder = Daemon::builder().echo();
    let daemon = builder.variable("RUNTIME_DIRECTORY", dir.path()).start();
    let mut command = Command::new(binaries::polyportctl());
    command.arg("status").env("RUNTIME_DIRECTORY", dir.path());
    to_end(&mut command, b"", SOON)
        .exits(0)
        .prints(&format!("pid {}", daemon.pid()));
    daemon.stop();
}

#[test]
fn clients_that_hang_delay_neither_requests_nor_the_stop() {
    let mut daemon = with_admin().start();
    let hanging: Vec<UnixStream> = (0..40)
        .map(|_| {
            let mut stream = UnixStream::connect(daemon.admin_socket()).unwrap();
            stream
                .write_all(b"POST /v1/reload HTTP/1.1\r\nhost")
                .unwrap();
            stream
        })
        .collect();
    daemon.ctl(&["status"]).exits(0);
    client::expect_echo(&mut client::tcp(daemon.tcp("echo")), b"hello");
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, events::EXIT_CLEAN);
    assert!(took < SOON / 2, "{took:?}");
    for mut stream in hanging {
        // An end or a reset: half a request has no answer.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).ok();
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }
    assert!(daemon.log().named(ASKED).is_empty());
}

#[test]
fn a_draining_daemon_shows_it_and_refuses_changes() {
    let mut daemon = Daemon::builder()
        .admin()
        .set("drain-timeout: 20s")
        .plugin("download", &TestPlugin::file("download"))
        .service("download", "tcp://127.0.0.1:0", "download")
        .start();
    let mut stream = client::tcp(daemon.tcp("download"));
    // The client does not read, so that the stream has unsent output.
    stream.write_all(b"GET 50000000\n").unwrap();
    client::read_exactly(&mut stream, 1);
    daemon.signal(Signal::SIGTERM);
    daemon.log().wait_named(events::SHUTDOWN_ANNOUNCED, SOON);
    assert_eq!(daemon.listing("status")["state"], "draining");
    daemon.ctl(&["reload"]).exits(1).prints("refused");
    daemon
        .ctl(&["drain", "download"])
        .exits(1)
        .prints("refused");
    let socket = daemon.admin_socket();
    let unready = curl(&socket, &["--fail", "http://polyport/readyz"]);
    unready.exits(22).prints("503");
    daemon.ctl(&["ready"]).exits(1).prints("draining");
    curl(&socket, &["--fail", "http://polyport/livez"]).exits(0);
    daemon.ctl(&["live"]).exits(0).prints("alive");
    drop(stream);
    assert_eq!(daemon.wait_exit(SOON), events::EXIT_CLEAN);
}

#[test]
fn f38_without_descriptors_the_daemon_still_answers() {
    let wrapper = ["prlimit", "--nofile=96:96"];
    let daemon = with_admin().set("workers: 1").wrapped(&wrapper).start();
    let address = daemon.tcp("echo");
    // More than there are descriptors; those past the limit wait in the queue of the listener.
    let streams: Vec<_> = (0..120).map(|_| client::tcp(address)).collect();
    daemon.log().wait_for("accept pauses", SOON);
    daemon.ctl(&["status"]).exits(0).prints("ready");
    daemon.ctl(&["status"]).exits(0).prints("ready");
    drop(streams);
    wait::until("the streams have ended", SOON, || {
        (daemon.listing("services")["services"][0]["streams"] == 0).then_some(())
    });
    daemon.stop();
}
