//! Many connections at once, and connections that hang.

use super::*;

#[tokio::test]
async fn admin_answers_a_hundred_connections_at_once() {
    let served = Served::start();
    let mut clients = Group::new();
    let (told, mut hears) = mpsc::channel(100);
    for _ in 0..100 {
        let (path, told) = (path(&served.dir), told.clone());
        clients.start(async move {
            let stream = UnixStream::connect(path).await.unwrap();
            let reply = response_to(stream, once("GET /v1/plan").as_bytes()).await;
            told.send(code(&reply).to_owned()).await.unwrap();
        });
    }
    for _ in 0..100 {
        assert_eq!(timeout(SOON, hears.recv()).await.unwrap().unwrap(), "200");
    }
}

#[tokio::test]
async fn admin_closes_idle_connections_for_new_ones() {
    let served = Served::start();
    let mut hanging = Vec::new();
    for _ in 0..40 {
        let mut stream = served.connect().await;
        stream
            .write_all(b"GET /v1/plan HTTP/1.1\r\nhost: ")
            .await
            .unwrap();
        hanging.push(stream);
    }
    let begin = Instant::now();
    assert_eq!(code(&served.says(&once("GET /v1/plan")).await), "200");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    // The first connection was closed.
    assert_eq!(rest(&mut hanging[0]).await, "");
}

#[tokio::test]
async fn admin_keeps_connections_that_wait_for_a_result() {
    let served = Served::start();
    let mut waiting = Vec::new();
    for _ in 0..32 {
        let mut stream = served.connect().await;
        stream
            .write_all(once("POST /v1/reload").as_bytes())
            .await
            .unwrap();
        waiting.push(stream);
    }
    let reply = served.says(&once("GET /v1/plan")).await;
    assert_eq!(code(&reply), "503", "{reply}");
    assert!(
        body(&reply)["error"]
            .as_str()
            .unwrap()
            .contains("try again")
    );
    // One disconnects, and its slot is free.
    waiting.pop();
    assert_eq!(code(&served.says(&once("GET /v1/plan")).await), "200");
}

#[tokio::test(start_paused = true)]
async fn admin_closes_connections_that_are_idle_for_long() {
    let served = Served::start();
    let mut silent = served.connect().await;
    let mut slow = served.connect().await;
    slow.write_all(b"GET /v1/plan HTTP/1.1\r\nho")
        .await
        .unwrap();
    let mut idle = served.connect().await;
    idle.write_all(b"GET /v1/plan HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut waits = served.connect().await;
    waits
        .write_all(b"POST /v1/reload HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let begin = tokio::time::Instant::now();
    let mut all = Vec::new();
    silent.read_to_end(&mut all).await.unwrap();
    slow.read_to_end(&mut all).await.unwrap();
    assert!(all.is_empty(), "{all:?}");
    idle.read_to_end(&mut all).await.unwrap();
    assert!(all.starts_with(b"HTTP/1.1 200 OK"));
    let waited = begin.elapsed();
    assert!((9..13).contains(&waited.as_secs()), "{waited:?}");
    // A connection that waits for a result stays.
    assert!(
        timeout(Duration::from_secs(60), waits.read_u8())
            .await
            .is_err()
    );
}
