//! The program against a fake daemon with prepared responses.
#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in what it is made of too"
)]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::JoinHandle;

use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_polyportctl");

/// A socket that replies to one request with these bytes.
struct Daemon {
    dir: TempDir,
    asked: JoinHandle<String>,
}

impl Daemon {
    fn saying(reply: impl Into<String>) -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(socket(&dir)).unwrap();
        let reply = reply.into();
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
                request.push(byte[0]);
            }
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8(request).unwrap()
        });
        Self { dir, asked }
    }

    fn run(self, words: &[&str]) -> (Output, String) {
        let output = run(&socket(&self.dir), words);
        (output, self.asked.join().unwrap())
    }
}

fn socket(dir: &TempDir) -> PathBuf {
    dir.path().join("admin.sock")
}

fn reply(status: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn run(socket: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("--socket").arg(socket).args(words);
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn exit_0_after_a_successful_change() {
    let body = r#"{"id": 2, "verdict": "applied", "reason": "one service is new", "milliseconds": 8,
        "plan": {"services": [{"name": "echo", "action": "added"}]}}"#;
    let (output, asked) =
        Daemon::saying(reply("200 OK", body)).run(&["reload", "--confirm", "60s"]);
    assert!(
        asked.starts_with("POST /v1/reload?confirm=60s HTTP/1.1\r\n"),
        "{asked}"
    );
    assert_eq!(code(&output), 0);
    let said = "services\n  + echo: added\n1 new, 0 changed, 0 gone, 0 kept\napplied in 8 ms (change 2): one service is new\n";
    assert_eq!(text(&output.stdout), said);
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn exit_1_after_a_failed_change_with_the_reason_on_stderr() {
    let body = r#"{"id": 3, "verdict": "failed", "reason": "kv refused", "faults":
        [{"error": true, "place": "a.yaml:1:2", "message": "no", "help": "yes"}]}"#;
    let (output, _) = Daemon::saying(reply("422 Unprocessable Entity", body)).run(&["reload"]);
    assert_eq!(code(&output), 1);
    let said = "a.yaml:1:2: error: no\n  help: yes\nfailed in 0 ms (change 3): kv refused\n";
    assert_eq!(text(&output.stderr), said);
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn output_passes_json_unchanged() {
    let body = "{\"services\": [], \"new\": [1]}\n";
    let (output, asked) = Daemon::saying(reply("200 OK", body)).run(&["services", "--json"]);
    assert!(
        asked.starts_with("GET /v1/services?pretty HTTP/1.1\r\n"),
        "{asked}"
    );
    assert_eq!((code(&output), text(&output.stdout)), (0, body));
}

#[test]
fn exit_74_after_a_malformed_response() {
    for reply in [
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        String::new(),
        reply("200 OK", "hello"),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned(),
    ] {
        let (output, _) = Daemon::saying(reply.clone()).run(&["status"]);
        assert_eq!(code(&output), 74, "{reply}: {}", text(&output.stderr));
        assert!(
            text(&output.stderr).starts_with("error: what "),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn exit_69_without_a_daemon_with_help() {
    let dir = TempDir::new().unwrap();
    let output = run(&socket(&dir), &["status"]);
    assert_eq!(code(&output), 69);
    assert!(
        text(&output.stderr).contains("is polyportd running"),
        "{}",
        text(&output.stderr)
    );

    drop(UnixListener::bind(socket(&dir)).unwrap());
    let output = run(&socket(&dir), &["status"]);
    assert_eq!(code(&output), 69);
    assert!(
        text(&output.stderr).contains("nobody answers"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn exit_69_after_the_timeout() {
    let dir = TempDir::new().unwrap();
    let _listener = UnixListener::bind(socket(&dir)).unwrap();
    let output = run(&socket(&dir), &["--timeout", "100ms", "reload"]);
    assert_eq!(code(&output), 69);
    let said = text(&output.stderr);
    assert!(
        said.contains("within 0.1 s") && said.contains("may still happen"),
        "{said}"
    );
}

#[test]
fn errors_name_the_users_with_access() {
    let dir = TempDir::new().unwrap();
    let _listener = UnixListener::bind(socket(&dir)).unwrap();
    fs::set_permissions(socket(&dir), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Only root can change its user.
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        PROGRAM,
        "--socket",
    ]);
    let Ok(output) = command.arg(socket(&dir)).arg("status").output() else {
        eprintln!("left out: setpriv is not installed");
        return;
    };
    if text(&output.stderr).starts_with("setpriv:") {
        eprintln!("left out: {}", text(&output.stderr));
        return;
    }
    assert_eq!(code(&output), 69, "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("a member of the group"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn output_ignores_a_closed_pipe_and_reports_a_full_disk() {
    let body = r#"{"services": []}"#;
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let daemon = Daemon::saying(reply("200 OK", body));
    let mut command = Command::new(PROGRAM);
    command
        .arg("--socket")
        .arg(socket(&daemon.dir))
        .arg("services");
    assert_eq!(code(&command.stdout(writer).output().unwrap()), 0);

    let daemon = Daemon::saying(reply("200 OK", body));
    let mut command = Command::new(PROGRAM);
    command
        .arg("--socket")
        .arg(socket(&daemon.dir))
        .arg("services");
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = command.stdout(full).output().unwrap();
    assert_eq!(code(&output), 74);
    assert!(
        text(&output.stderr).contains("cannot be written"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn output_has_no_control_characters() {
    let body = "{\"error\": \"\\u001b[2Jgone\"}";
    let (output, _) = Daemon::saying(reply("503 Service Unavailable", body)).run(&["status"]);
    assert_eq!(code(&output), 69);
    assert_eq!(text(&output.stderr), "error: \u{fffd}[2Jgone\n");
}

#[test]
fn exit_2_for_an_invalid_command_line() {
    let nowhere = Path::new("/nonexistent");
    for words in [
        &["stauts"][..],
        &[],
        &["drain"],
        &["status", "--timeout", "5"],
    ] {
        assert_eq!(code(&run(nowhere, words)), 2, "{words:?}");
    }
    assert_eq!(code(&run(nowhere, &["--help"])), 0);
    assert_eq!(code(&run(nowhere, &["drain", "--help"])), 0);
    let body = r#"{"error": "confirm: `x` is no duration"}"#;
    let (output, _) =
        Daemon::saying(reply("400 Bad Request", body)).run(&["reload", "--confirm", "x"]);
    assert_eq!(code(&output), 2);
}
