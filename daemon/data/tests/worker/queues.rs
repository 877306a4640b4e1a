//! Listeners that close or fail: who waits at them, and what is said of it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use crate::stage::{Client, SOON, Stage, listener};

/// All that the tests of this process have logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn begin() -> Self {
        static ALL: OnceLock<Lines> = OnceLock::new();
        let begin = || {
            let lines = Self::default();
            let writer = lines.clone();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            lines
        };
        ALL.get_or_init(begin).clone()
    }

    /// What was said of this.
    fn of(&self, what: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = all.lines().filter(|line| line.contains(what));
        lines.map(str::to_owned).collect()
    }
}

#[test]
fn accept_counts_connections_without_room_at_a_closed_listener() {
    let lines = Lines::begin();
    let stage = Stage::new(2);
    let (socket, at) = listener();
    let actor = stage.actor(&["GOODBYE"]);
    let service = actor.service_of("s", 1);
    stage.serve(&[(&socket, &service)], &[]);
    let mut client = Client::connect(at);
    assert_eq!(client.ask("a\n"), "1 1");
    let waiting: Vec<_> = (0..3).map(|_| Client::connect(at)).collect();
    drop(socket);
    stage.serve(&[], &[]);
    assert_eq!(client.line(), "bye");
    let said = lines.of(&at.to_string());
    // Two workers empty one queue: each says what it turned away, and nobody is counted twice or not at all.
    let number = |line: &String| line.split_once("refused=")?.1.parse::<u32>().ok();
    assert_eq!(said.iter().filter_map(number).sum::<u32>(), 3, "{said:?}");
    drop(waiting);
}

#[test]
fn accept_on_a_refused_listener_fails_without_a_log_line() {
    let lines = Lines::begin();
    let stage = Stage::new(1);
    let ((one, at), (two, beside)) = (listener(), listener());
    let actor = stage.actor(&[]);
    let service = actor.service("s");
    stage.serve(&[(&one, &service), (&two, &service)], &[]);
    assert_eq!(Client::connect(at).ask("a\n"), "1 1");
    one.refuse();
    // The worker has seen that, too.
    let end = Instant::now() + SOON;
    while lines.of(&at.to_string()).is_empty() && Instant::now() < end {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!(Client::connect(beside).ask("a\n"), "1 1");
    let said = lines.of(&at.to_string());
    assert!(said.iter().all(|line| !line.contains("ERROR")), "{said:?}");
}
