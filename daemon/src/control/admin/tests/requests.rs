//! Valid and invalid requests, and their responses.

use super::*;

#[tokio::test]
async fn admin_answers_requests_with_their_status() {
    let served = Served::start();
    for (line, status) in [
        ("GET /v1/services", "200"),
        ("GET /v1/plan", "200"),
        ("POST /v1/reload?confirm=60s", "422"),
        ("POST /v1/confirm", "409"),
        ("POST /v1/drain/echo?wait=true", "200"),
        ("POST /v1/rollback/kx", "404"),
        ("GET /livez", "200"),
        ("GET /readyz", "503"),
        ("GET /v1/nothing", "404"),
        ("POST /v1/status", "405"),
        ("GET /v1/services?depth=2", "400"),
    ] {
        let reply = served.says(&once(line)).await;
        assert_eq!(code(&reply), status, "{line}: {reply}");
        assert!(reply.ends_with("}\n"), "{line}: {reply}");
        let body = body(&reply);
        let tells = ["error", "verdict", "services", "state"];
        assert!(
            tells.iter().any(|key| body.get(key).is_some()),
            "{line}: {body}"
        );
    }
    let reply = served.says(&once("POST /v1/rollback/kx")).await;
    assert_eq!(body(&reply)["known"][0], "kv");
    let reply = served.says(&once("POST /v1/drain/echo")).await;
    assert_eq!(
        (&body(&reply)["streams"], &body(&reply)["id"]),
        (&4.into(), &7.into())
    );
    let reply = served.says(&once("DELETE /v1/plan")).await;
    assert!(reply.contains("allow: GET, HEAD\r\n"), "{reply}");
    let reply = served.says(&once("GET /metrics")).await;
    assert!(reply.contains("text/plain; version=0.0.4"), "{reply}");
    assert!(
        reply.ends_with("\r\n\r\n# HELP x An x.\n# TYPE x gauge\nx 1\n"),
        "{reply}"
    );
    let reply = served.says(&once("HEAD /v1/plan")).await;
    assert!(
        code(&reply) == "200" && reply.ends_with("\r\n\r\n"),
        "{reply}"
    );
}

#[tokio::test]
async fn admin_answers_many_requests_of_one_connection() {
    let served = Served::start();
    let many = "GET /v1/plan HTTP/1.1\r\nhost: x\r\n\r\n".repeat(20);
    let reply = served.says(&(many + &once("GET /v1/plan"))).await;
    assert_eq!(reply.matches("HTTP/1.1 200 OK").count(), 21);
}

#[tokio::test]
async fn admin_rejects_what_is_no_request() {
    let served = Served::start();
    let long = format!(
        "GET /v1/plan HTTP/1.1\r\nx: {}\r\n\r\n",
        "y".repeat(1 << 20)
    );
    let many = format!("GET /v1/plan HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let with_body = "POST /v1/confirm HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\nconnection: close\r\n\r\n{}\n";
    let endless =
        "POST /v1/confirm HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (request, status) in [
        ("\u{0}\u{1}\u{2} rubbish \r\n\r\n", "400"),
        ("GET /v1/plan HTTP/9.9\r\n\r\n", "400"),
        (&long, "431"),
        (&many, "431"),
        (with_body, "400"),
        (endless, "400"),
    ] {
        let start: String = request.chars().take(40).collect();
        let reply = served.says(request).await;
        assert_eq!(code(&reply), status, "{start:?}: {reply}");
    }
    // Half a request, and gone.
    drop(served.connect().await);
    let mut half = served.connect().await;
    half.write_all(b"GET /v1/pl").await.unwrap();
    drop(half);
    assert_eq!(code(&served.says(&once("GET /v1/plan")).await), "200");
}

#[tokio::test]
async fn admin_rejects_peers_without_access() {
    let (here, there) = UnixStream::pair().unwrap();
    let (requests, mut asked) = mpsc::channel(1);
    let (busy, _) = watch::channel(false);
    let (_stay, close_requested) = oneshot::channel();
    let session = Session {
        peer: PeerCredentials::of(&here).unwrap(),
        is_allowed: false,
        requests,
        busy,
    };
    let mut server = Group::new();
    server.start(serve_connection(here, session, close_requested));
    let line = "POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n";
    // One reply, though it asks twice: the connection is closed.
    let reply = response_to(there, line.repeat(2).as_bytes()).await;
    assert_eq!(code(&reply), "403", "{reply}");
    assert!(
        body(&reply)["error"]
            .as_str()
            .unwrap()
            .starts_with("only root")
    );
    assert!(asked.recv().await.is_none());
}

#[tokio::test]
async fn admin_speaks_http_as_curl_does() {
    let served = Served::start();
    let socket = path(&served.dir);
    let run = |words: &'static [&'static str]| {
        let socket = socket.clone();
        polyport_common::tasks::blocking(move || curl(&socket, words))
    };
    let Some(text) = run(&["http://polyport/v1/plan"]).await.unwrap() else {
        eprintln!("left out: curl is not installed");
        return;
    };
    assert!(
        text.starts_with("{\n  \"id\": 7,\n  \"verdict\": \"planned\""),
        "{text}"
    );
    assert!(text.ends_with("}\n"), "{text}");
    let text = run(&["-X", "POST", "http://polyport/v1/drain/kv?wait=true"])
        .await
        .unwrap()
        .unwrap();
    assert!(text.contains("\"streams\": 2"), "{text}");
    let text = run(&[
        "-H",
        "Accept: application/json",
        "http://polyport/v1/services",
    ])
    .await
    .unwrap()
    .unwrap();
    assert_eq!(text, "{\"services\":[]}\n");
}

/// What curl prints; `None` where it is not installed.
fn curl(socket: &Path, words: &[&str]) -> Option<String> {
    let mut command = std::process::Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "10",
        "--unix-socket",
    ]);
    let output = match command.arg(socket).args(words).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{error}"),
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(String::from_utf8(output.stdout).unwrap())
}
