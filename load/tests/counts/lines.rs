//! A server of lines over TCP or a Unix socket, that does to each line what a test wants.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A line that came.
pub(crate) struct Request<'a> {
    /// Its number on its stream.
    pub(crate) number: u64,
    /// The line with its end.
    pub(crate) text: &'a str,
}

impl Request<'_> {
    /// It came on a long-lived stream.
    pub(crate) fn is_ping(&self) -> bool {
        self.text.contains(".s")
    }
}

/// What is done to a line.
pub(crate) enum Action {
    /// Send this.
    Send(String),
    /// Nothing.
    Ignore,
    /// End the stream in order.
    Close,
    /// Cut it off.
    Reset,
}

type Behaviour = Arc<dyn Fn(&Request<'_>) -> Action + Send + Sync>;

/// How often something happened.
#[derive(Clone, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    /// One more; the number that it was, from 0.
    pub(crate) fn up(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::SeqCst);
    }

    /// True each so many times, which is counted.
    pub(crate) fn each(&self, every: u64, done: &Self) -> bool {
        let is_due = self.up() % every == every - 1;
        if is_due {
            done.up();
        }
        is_due
    }
}

/// Sends back what came.
pub(crate) fn echo(request: &Request<'_>) -> Action {
    Action::Send(request.text.to_owned())
}

/// Serves by TCP until the test ends.
pub(crate) fn serve(
    behaviour: impl Fn(&Request<'_>) -> Action + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let behaviour: Behaviour = Arc::new(behaviour);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, behaviour) = (stream.unwrap(), Arc::clone(&behaviour));
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || serve_stream(&stream, &stream, &stream, &behaviour));
        }
    });
    address
}

/// Serves by a Unix socket until the test ends.
pub(crate) fn serve_unix(
    path: &Path,
    behaviour: impl Fn(&Request<'_>) -> Action + Send + Sync + 'static,
) {
    let listener = UnixListener::bind(path).unwrap();
    let behaviour: Behaviour = Arc::new(behaviour);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, behaviour) = (stream.unwrap(), Arc::clone(&behaviour));
            thread::spawn(move || serve_stream(&stream, &stream, &stream, &behaviour));
        }
    });
}

fn serve_stream(
    reader: impl Read,
    mut writer: impl Write,
    socket: impl AsFd,
    behaviour: &Behaviour,
) {
    let mut lines = BufReader::new(reader);
    for number in 0.. {
        let mut text = String::new();
        // The peer may go at any time.
        if lines.read_line(&mut text).unwrap_or(0) == 0 {
            return;
        }
        let request = Request {
            number,
            text: &text,
        };
        match behaviour(&request) {
            Action::Send(answer) => writer.write_all(answer.as_bytes()).unwrap_or(()),
            Action::Ignore => {}
            Action::Close => return,
            Action::Reset => {
                let socket = socket2::SockRef::from(&socket);
                return socket.set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    }
}

/// Echoes by TCP, and closes and opens its listener again and again, as a server does that
/// restarts. How often it did.
pub(crate) fn serve_rebinding(every: Duration) -> (SocketAddr, Count) {
    let mut listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let rebound = Count::default();
    let count = rebound.clone();
    thread::spawn(move || {
        loop {
            accept_for(&listener, every);
            drop(listener);
            thread::park_timeout(Duration::from_millis(5));
            listener = TcpListener::bind(address).unwrap();
            count.up();
        }
    });
    (address, rebound)
}

fn accept_for(listener: &TcpListener, time: Duration) {
    let end = std::time::Instant::now() + time;
    listener.set_nonblocking(true).unwrap();
    while std::time::Instant::now() < end {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                thread::spawn(move || echo_once(&stream));
            }
            Err(_) => thread::park_timeout(Duration::from_millis(1)),
        }
    }
}

fn echo_once(stream: &TcpStream) {
    let behaviour: Behaviour = Arc::new(echo);
    serve_stream(stream, stream, stream, &behaviour);
}
