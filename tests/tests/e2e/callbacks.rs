//! What a handler may do in its callbacks: close, wake, set timers, misuse ids. None of it harms the daemon.

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use polyport_e2e::client::Ending;
use polyport_e2e::{Builder, Daemon, SOON, TestPlugin, client};

fn with(plugin: &Path, config: &str) -> Builder {
    Daemon::builder()
        .plugin_with("svc", plugin, &format!("config: {config}"))
        .service("svc", "tcp://127.0.0.1:0", "svc")
}

#[test]
fn a_stream_may_be_closed_in_every_callback() {
    let daemon = with(&TestPlugin::file("closes"), "{}").start();
    for (letter, text) in [("d", "data\n"), ("k", "wake\n"), ("t", "timer\n")] {
        let mut stream = client::tcp(daemon.tcp("svc"));
        stream.write_all(letter.as_bytes()).unwrap();
        let (answer, ending) = client::read_to_end(&mut stream);
        assert_eq!(
            (String::from_utf8_lossy(&answer).as_ref(), ending),
            (text, Ending::Closed)
        );
    }
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"w").unwrap();
    daemon.log().wait_for("svc above high", SOON);
    let (answer, ending) = client::read_to_end(&mut stream);
    assert_eq!(ending, Ending::Closed);
    assert!(answer.ends_with(b"writable\n"));
    daemon.stop();
}

#[test]
fn a_stream_may_be_closed_in_open_or_refused() {
    let daemon = with(&TestPlugin::file("closes"), "{at: open}").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    assert_eq!(client::read_to_end(&mut stream).0, b"open\n");
    daemon.log().wait_for("svc closed reason 2", SOON);
    daemon.stop();

    let daemon = with(&TestPlugin::file("closes"), "{at: refuse}")
        .allow_error("closes")
        .start();
    for _ in 0..3 {
        let mut stream = client::tcp(daemon.tcp("svc"));
        assert_eq!(client::read_to_end(&mut stream).0, b"");
    }
    let log = daemon.log().clone();
    daemon.stop();
    assert!(
        !log.contains("svc closed"),
        "closed() was called without open()"
    );
}

#[test]
fn a_reset_is_a_reset_and_an_error_ends_its_stream_only() {
    let daemon = with(&TestPlugin::file("closes"), "{}")
        .allow_error("closes")
        .start();
    let mut bystander = client::tcp(daemon.tcp("svc"));
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"r").unwrap();
    assert_eq!(
        client::read_to_end(&mut stream),
        (Vec::new(), Ending::Reset),
        "what was queued is dropped"
    );
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"n").unwrap();
    assert_eq!(
        client::read_to_end(&mut stream),
        (Vec::new(), Ending::Closed),
        "what was queued is dropped"
    );
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"e").unwrap();
    client::read_to_end(&mut stream);
    daemon.log().wait_for("svc closed reason 20", SOON);
    bystander.write_all(b"d").unwrap();
    assert_eq!(client::read_to_end(&mut bystander).0, b"data\n");
    daemon.stop();
}

#[test]
fn a_stream_may_be_closed_in_on_drain() {
    let mut daemon = with(&TestPlugin::file("closes"), "{}").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    client_is_known(&mut stream);
    let (took, code) = daemon.timed_stop();
    assert_eq!(code, 0);
    assert!(took < SOON / 2, "{took:?}");
    assert_eq!(
        client::read_to_end(&mut stream),
        (b"drain\n".to_vec(), Ending::Closed)
    );
}

/// Sends a byte that is used without an answer, so that the stream is surely open.
fn client_is_known(stream: &mut TcpStream) {
    stream.write_all(b".").unwrap();
    polyport_e2e::wait::measure(Duration::from_millis(200));
}

#[test]
fn eight_foreign_threads_wake_streams_that_live_and_streams_that_do_not() {
    let daemon = with(&TestPlugin::file("wake"), "{}")
        .set("workers: 2")
        .start();
    for _ in 0..10 {
        let mut streams: Vec<TcpStream> = (0..10).map(|_| client::tcp(daemon.tcp("svc"))).collect();
        streams
            .iter_mut()
            .for_each(|stream| stream.write_all(b"x").unwrap());
        for stream in &mut streams {
            assert_eq!(client::read_line(stream), "all eight");
        }
    }
    let log = daemon.log().clone();
    daemon.stop();
    let last = log.wait_for("svc wakes", SOON).line;
    let number = |word: &str| -> u64 {
        let rest = last.split(word).nth(1).unwrap().trim_start();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    };
    assert!(number("wakes") > 0 && number("gone") > 0, "{last}");
    assert_eq!(number("odd"), 0, "{last}");
}

#[test]
fn timers_come_as_often_as_they_should() {
    let daemon = with(&TestPlugin::file("timers"), "{}").start();
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"p").unwrap();
    for _ in 0..5 {
        assert_eq!(client::read_line(&mut stream), "tick");
    }
    assert_eq!(client::read_line(&mut stream), "done");
    stream.write_all(b"c").unwrap();
    assert_eq!(client::read_line(&mut stream), "none");
    stream.write_all(b"r").unwrap();
    assert_eq!(client::read_line(&mut stream), "replaced");
    assert_eq!(client::read_line(&mut stream), "none");
    drop(stream);
    daemon.stop();
}

#[test]
fn stale_and_foreign_ids_and_wrong_contexts_are_error_codes() {
    const GONE: i64 = -1;
    const CONTEXT: i64 = -4;
    let daemon = with(&TestPlugin::file("misuse"), "{}").start();
    let mut first = client::tcp(daemon.tcp("svc"));
    first.write_all(b"q").unwrap();
    client::read_to_end(&mut first);
    let mut stream = client::tcp(daemon.tcp("svc"));
    stream.write_all(b"x").unwrap();
    let answer = client::read_line(&mut stream);
    let words: Vec<&str> = answer.split(' ').collect();
    let status = |name: &str| -> i64 {
        let at = words.iter().position(|word| *word == name).expect(&answer);
        words[at + 1].parse().unwrap()
    };
    for name in ["stale", "none", "wild", "wake", "timer", "close", "op"] {
        assert_eq!(status(name), GONE, "{name} in: {answer}");
    }
    for name in ["thread", "ctl"] {
        assert_eq!(status(name), CONTEXT, "{name} in: {answer}");
    }
    assert!(status("datagram") < 0, "{answer}");
    client::exchange(&mut stream, b"x", 5);
    drop(stream);
    daemon.stop();
}
