//! The end of a new process, whatever it does. Real ones are tested end to end.

use super::*;
use std::process::{Command, Stdio};

/// A shell as the new process, and the other end of its channel.
fn started(script: &str) -> (NewProcess, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new("sh")
        .args(["-c", script])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (NewProcess::watch(child, ours).unwrap(), theirs)
}

fn lives(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn new_process_that_ended_is_reaped_and_its_last_line_reported() {
    let (mut new_process, channel) = started("echo one >&2; printf ' two ' >&2; exit 78");
    let pid = new_process.pid();
    drop(channel);
    assert_eq!(new_process.receive().await, None);
    let reason = new_process.end(HandOverError::Closed).await;
    assert_eq!(
        reason,
        format!("process {pid} ended with code 78 before it served: two")
    );
    assert!(!lives(pid));
}

#[tokio::test]
async fn new_process_that_hangs_is_killed_and_reaped() {
    let (new_process, _channel) = started("exec sleep 1000");
    let pid = new_process.pid();
    let begin = Instant::now();
    let reason = new_process
        .end(HandOverError::Late(Duration::from_secs(60)))
        .await;
    assert!(
        reason.ends_with("did not serve within 60 s, and was killed"),
        "{reason}"
    );
    assert!(begin.elapsed() < Duration::from_secs(10) && !lives(pid));
}

#[tokio::test]
async fn new_process_that_writes_without_end_is_read_and_bounded() {
    let (mut new_process, _channel) =
        started("yes | tr -d '\\n' >&2 & sleep 0.1; kill $!; wait; exit 1");
    let received = tokio::time::timeout(Duration::from_millis(300), new_process.receive()).await;
    assert!(received.is_err(), "no message was sent");
    let reason = new_process.end(HandOverError::Closed).await;
    assert!(reason.len() < LINE_BYTES_MAX + 200, "{}", reason.len());
}

#[tokio::test]
async fn new_process_ends_when_the_hand_over_is_broken_off() {
    let (new_process, _channel) = started("exec sleep 1000");
    let pid = new_process.pid();
    drop(new_process);
    assert!(!lives(pid));
}

#[tokio::test]
async fn new_process_that_has_taken_over_lives_on() {
    let (mut new_process, _channel) = started("exec sleep 1000");
    let pid = new_process.pid();
    let mut child = new_process.child.take().unwrap();
    new_process.release();
    drop(new_process);
    assert!(lives(pid));
    child.kill().unwrap();
    child.wait().unwrap();
}
