//! Foreign clients, and plugins as an author builds them: by one line against the header.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use polyport_e2e::run::to_end;
use polyport_e2e::{Builder, Daemon, SOON, binaries, client};
use tempfile::TempDir;

/// Returns whether a program is installed; prints a line if not.
fn present(program: &str) -> bool {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    });
    if !found {
        println!("left out: {program} is not installed");
    }
    found
}

/// Runs a client with the input `hello` and expects it back.
#[track_caller]
fn hello(program: &str, arguments: &[&str]) {
    if present(program) {
        let finished = to_end(Command::new(program).args(arguments), b"hello\n", SOON);
        assert_eq!(
            String::from_utf8_lossy(&finished.stdout),
            "hello\n",
            "{program}: {}",
            finished.text
        );
    }
}

fn split(address: SocketAddr) -> (String, String) {
    (address.ip().to_string(), address.port().to_string())
}

#[test]
fn netcat_is_served_by_tcp_and_udp() {
    let daemon = Daemon::builder().echo().start();
    let (host, port) = split(daemon.tcp("echo"));
    hello("nc", &["-N", "-w", "5", &host, &port]);
    let (host, port) = split(daemon.udp("echo"));
    hello("nc", &["-u", "-w", "1", &host, &port]);
    daemon.stop();
}

#[test]
fn socat_is_served_by_tcp_udp_and_unix() {
    let daemon = Daemon::builder();
    let path = daemon.dir().join("echo.sock").display().to_string();
    let listen = format!("tcp://127.0.0.1:0, udp://127.0.0.1:0, unix://{path}");
    let daemon = daemon
        .plugin("echo", &binaries::bundled("echo"))
        .service("echo", &listen, "echo")
        .start();
    hello(
        "socat",
        &["-t5", "-", &format!("TCP:{}", daemon.tcp("echo"))],
    );
    hello(
        "socat",
        &["-t1", "-", &format!("UDP:{}", daemon.udp("echo"))],
    );
    hello("socat", &["-t5", "-", &format!("UNIX-CONNECT:{path}")]);
    daemon.stop();
}

#[test]
fn busybox_netcat_talks() {
    let daemon = Daemon::builder().echo().start();
    let (host, port) = split(daemon.tcp("echo"));
    // It does not end its direction at the end of input, so -w bounds it.
    hello("busybox", &["nc", "-w", "2", &host, &port]);
    daemon.stop();
}

#[test]
fn busybox_rdate_reads_the_time() {
    const ADDRESS: &str = "127.0.77.37";
    if !present("busybox") || !nix::unistd::geteuid().is_root() {
        println!("left out: rdate asks port 37 only, which takes root to serve");
        return;
    }
    let daemon = Daemon::builder()
        .plugin("time", &binaries::bundled("time"))
        .service("time", &format!("tcp://{ADDRESS}:37"), "time")
        .start();
    let finished = to_end(
        Command::new("busybox").args(["rdate", "-p", ADDRESS]),
        b"",
        SOON,
    );
    finished.exits(0).prints(":");
    daemon.stop();
}

/// Compiles an example by the line in its own first comment.
fn by_hand(example: &str, into: &TempDir) -> PathBuf {
    let examples = binaries::repository().join("plugin-api/examples");
    let source = std::fs::read_to_string(examples.join(example)).unwrap();
    let line = source
        .lines()
        .find_map(|line| line.split_once("* cc "))
        .expect("the line says how")
        .1;
    let output = into.path().join("libpolyport_by_hand.so");
    let named = format!("libpolyport_{}", example.replace(".c", ".so"));
    let line = line
        .trim_end_matches("*/")
        .replace(&named, &output.display().to_string());
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("cc {line}"))
        .current_dir(examples)
        .status();
    assert!(status.unwrap().success(), "cc {line}");
    output
}

#[track_caller]
fn echoes_everywhere(builder: Builder, plugin: &Path) {
    let path = builder.dir().join("echo.sock").display().to_string();
    let listen = format!("tcp://127.0.0.1:0, udp://127.0.0.1:0, unix://{path}");
    let daemon = builder
        .plugin("echo", plugin)
        .service("echo", &listen, "echo")
        .start();
    let mut stream = client::tcp(daemon.tcp("echo"));
    client::expect_echo(&mut stream, b"hello\n");
    drop(stream);
    assert_eq!(
        client::datagram(&client::udp(daemon.udp("echo")), b"hello"),
        b"hello"
    );
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    client::expect_echo(&mut stream, b"hello\n");
    drop(stream);
    daemon.stop();
}

#[test]
fn the_example_in_c_is_served_as_its_comment_builds_it() {
    let dir = TempDir::new().unwrap();
    echoes_everywhere(Daemon::builder(), &by_hand("echo.c", &dir));
}

#[test]
fn the_example_that_moves_is_served_as_its_comment_builds_it() {
    let dir = TempDir::new().unwrap();
    let daemon = Daemon::builder()
        .plugin("tally", &by_hand("tally.c", &dir))
        .service("tally", "tcp://127.0.0.1:0", "tally")
        .start();
    let mut stream = client::tcp(daemon.tcp("tally"));
    assert_eq!(client::ask(&mut stream, "add 5"), "v1 #1 sum 5");
    assert_eq!(client::ask(&mut stream, "add 7"), "v1 #2 sum 12");
    drop(stream);
    daemon.stop();
}

#[test]
fn the_example_in_rust_is_served() {
    echoes_everywhere(Daemon::builder(), &binaries::rust_plugin("echo"));
}

#[test]
fn the_bundled_echo_is_served() {
    echoes_everywhere(Daemon::builder(), &binaries::bundled("echo"));
}

/// A bundled plugin by its name alone, found on the plugin path.
fn bundled(name: &str) -> Daemon {
    let path = binaries::plugin_dir().display().to_string();
    Daemon::builder()
        .set(format!("plugin-path: [{path}]"))
        .service(name, "tcp://127.0.0.1:0, udp://127.0.0.1:0", name)
        .start()
}

#[test]
fn three_lines_are_enough_for_a_service() {
    let path = binaries::plugin_dir().display().to_string();
    let yaml = format!(
        "log: {{format: json}}\ndaemon: {{plugin-path: [{path}]}}\n\
         services:\n  echo:\n    listen: tcp://127.0.0.1:0\n    handler: echo\n"
    );
    let daemon = Daemon::builder().config(yaml).start();
    assert!(client::echoes(daemon.tcp("echo"), b"hello\n"));
    daemon.stop();
}

#[test]
fn discard_answers_nothing() {
    let daemon = bundled("discard");
    let mut stream = client::tcp(daemon.tcp("discard"));
    std::io::Write::write_all(&mut stream, &[b'x'; 100_000]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&mut stream).0, b"");
    let socket = client::udp(daemon.udp("discard"));
    socket.send(b"x").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(socket.recv(&mut [0; 16]).is_err());
    daemon.stop();
}

#[test]
fn chargen_turns_its_lines() {
    let daemon = bundled("chargen");
    let mut stream = client::tcp(daemon.tcp("chargen"));
    let lines = client::read_exactly(&mut stream, 74 * 100);
    assert!(
        lines.starts_with(b" !\"#$%&'()"),
        "{:?}",
        String::from_utf8_lossy(&lines[..74])
    );
    for (at, line) in lines.chunks(74).enumerate() {
        assert!(line.ends_with(b"\r\n"));
        assert_eq!(usize::from(line[0]), 32 + at % 95, "line {at}");
    }
    drop(stream);
    let length = client::datagram(&client::udp(daemon.udp("chargen")), b"x").len();
    assert!(length <= 512, "{length}");
    daemon.stop();
}

#[test]
fn daytime_and_time_answer_the_time() {
    const FROM_1900_TO_1970: u64 = 2_208_988_800;
    let daemon = bundled("time");
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let (answer, _) = client::read_to_end(&mut client::tcp(daemon.tcp("time")));
    let datagram = client::datagram(&client::udp(daemon.udp("time")), b"");
    for answer in [answer, datagram] {
        let told = u64::from(u32::from_be_bytes(answer.try_into().expect("four bytes")));
        assert!(
            told.abs_diff((now + FROM_1900_TO_1970) & 0xffff_ffff) <= 30,
            "{told}"
        );
    }
    daemon.stop();

    let daemon = bundled("daytime");
    let (answer, _) = client::read_to_end(&mut client::tcp(daemon.tcp("daytime")));
    assert!(
        answer.ends_with(b"\r\n") && answer.len() > 10,
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert!(client::datagram(&client::udp(daemon.udp("daytime")), b"").len() > 10);
    daemon.stop();
}

#[test]
fn f56_small_services_do_not_answer_each_other() {
    if !nix::unistd::geteuid().is_root() {
        println!("left out: only root can send from a port below 1024");
        return;
    }
    let daemon = bundled("echo");
    let small = UdpSocket::bind("127.0.77.19:19").unwrap();
    small
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    small.send_to(b"loop", daemon.udp("echo")).unwrap();
    let answer = small.recv(&mut [0; 16]);
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(
        client::datagram(&client::udp(daemon.udp("echo")), b"others"),
        b"others"
    );
    daemon.stop();
}
