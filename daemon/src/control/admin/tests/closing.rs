//! The end of requests, of the server and of its file.

use super::*;

#[tokio::test]
async fn admin_tells_the_supervisor_the_peer_and_when_it_disconnects() {
    let (dir, _server, mut asked) = Served::bare();
    let mut stream = UnixStream::connect(path(&dir)).await.unwrap();
    stream
        .write_all(once("POST /v1/reload").as_bytes())
        .await
        .unwrap();
    let mut request = timeout(SOON, asked.recv()).await.unwrap().unwrap();
    assert_eq!(request.command, Command::Reload { confirm: None });
    assert_eq!(request.peer.pid, std::process::id());
    drop(stream);
    timeout(SOON, request.answer.closed()).await.unwrap();
}

#[tokio::test]
async fn admin_ends_with_the_receiver_of_requests_and_removes_its_file() {
    let (dir, mut server, mut asked) = Served::bare();
    let found = std::fs::symlink_metadata(path(&dir)).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o660);
    assert_eq!(found.gid(), access::AllowedPeers::of_this_process().gid);

    let mut idle = UnixStream::connect(path(&dir)).await.unwrap();
    let mut stream = UnixStream::connect(path(&dir)).await.unwrap();
    stream
        .write_all(once("POST /v1/confirm").as_bytes())
        .await
        .unwrap();
    let request = timeout(SOON, asked.recv()).await.unwrap().unwrap();
    request
        .answer
        .send(Answer::Outcome(Box::new(outcome(Verdict::Applied))))
        .unwrap();
    drop(asked);
    // The answer arrives, though the server ends.
    assert_eq!(code(&rest(&mut stream).await), "200");
    assert_eq!(rest(&mut idle).await, "");
    timeout(SOON, server.all_ended()).await.unwrap();
    assert!(!path(&dir).exists());
}

#[tokio::test]
async fn admin_answers_waiting_requests_at_the_end() {
    let (dir, _server, mut asked) = Served::bare();
    let mut stream = UnixStream::connect(path(&dir)).await.unwrap();
    stream
        .write_all(once("POST /v1/reload").as_bytes())
        .await
        .unwrap();
    let request = timeout(SOON, asked.recv()).await.unwrap().unwrap();
    drop((asked, request));
    let reply = rest(&mut stream).await;
    assert_eq!(code(&reply), "503", "{reply}");
    assert_eq!(body(&reply)["error"], "the daemon ends");
}

#[tokio::test]
async fn admin_replaces_a_stale_file_and_no_other() {
    let dir = TempDir::new().unwrap();
    drop(std::os::unix::net::UnixListener::bind(path(&dir)).unwrap());
    let first = Admin::open(&path(&dir)).unwrap();
    let error = Admin::open(&path(&dir)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(path(&dir).exists());
    drop(first);
    assert!(!path(&dir).exists());
    std::fs::write(path(&dir), "precious").unwrap();
    assert_eq!(
        Admin::open(&path(&dir)).unwrap_err().kind(),
        io::ErrorKind::AlreadyExists
    );
}
