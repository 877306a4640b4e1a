//! Clients of which every read and write has a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::SOON;

/// Ends clients on threads when it is dropped, also when the test fails.
#[derive(Debug)]
pub struct EndOf<'a>(pub &'a AtomicBool);

impl Drop for EndOf<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection whose reads and writes have a deadline.
#[track_caller]
pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, SOON).expect("the daemon accepts");
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A socket that is connected to this address, and whose reads have a deadline.
#[track_caller]
pub fn udp(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(if address.is_ipv4() {
        "127.0.0.1:0"
    } else {
        "[::1]:0"
    })
    .unwrap();
    socket.connect(address).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    socket
}

/// Sends a message and reads as many bytes as are expected.
#[track_caller]
pub fn exchange(stream: &mut (impl Read + Write), message: &[u8], length: usize) -> Vec<u8> {
    stream
        .write_all(message)
        .expect("the daemon takes the message");
    read_exactly(stream, length)
}

/// Sends a message and expects its echo.
#[track_caller]
pub fn expect_echo(stream: &mut (impl Read + Write), message: &[u8]) {
    let answer = exchange(stream, message, message.len());
    assert_eq!(
        String::from_utf8_lossy(&answer),
        String::from_utf8_lossy(message)
    );
}

/// Reads as many bytes as are expected.
#[track_caller]
pub fn read_exactly(stream: &mut impl Read, length: usize) -> Vec<u8> {
    let mut answer = vec![0; length];
    stream
        .read_exact(&mut answer)
        .expect("the daemon answers in full");
    answer
}

/// Sends a line and returns the answered line, both without their ends.
#[track_caller]
pub fn ask(stream: &mut (impl Read + Write), line: &str) -> String {
    stream
        .write_all(format!("{line}\n").as_bytes())
        .expect("the daemon takes the line");
    read_line(stream)
}

/// Reads up to and including the next line feed.
#[track_caller]
pub fn read_line(stream: &mut impl Read) -> String {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.extend(read_exactly(stream, 1));
    }
    String::from_utf8_lossy(&line).trim_end().to_owned()
}

/// How a stream ended, seen from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An orderly end.
    Closed,
    /// A reset.
    Reset,
}

/// Reads until the daemon ends the stream; returns the bytes before the end, and how it ended.
#[track_caller]
pub fn read_to_end(stream: &mut impl Read) -> (Vec<u8>, Ending) {
    let mut all = Vec::new();
    let mut part = [0; 65536];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return (all, Ending::Closed),
            Ok(n) => all.extend_from_slice(&part[..n]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                return (all, Ending::Reset);
            }
            Err(error) => panic!("after {} bytes the stream did not end: {error}", all.len()),
        }
    }
}

/// Sends a datagram and reads the answer.
#[track_caller]
pub fn datagram(socket: &UdpSocket, message: &[u8]) -> Vec<u8> {
    socket.send(message).expect("the datagram leaves");
    receive(socket)
}

/// The same as text.
#[track_caller]
pub fn request_by(socket: &UdpSocket, message: &str) -> String {
    String::from_utf8_lossy(&datagram(socket, message.as_bytes())).into_owned()
}

/// Reads one datagram.
#[track_caller]
pub fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 65536];
    let length = socket.recv(&mut answer).expect("a datagram comes back");
    answer.truncate(length);
    answer
}

/// Returns whether the service at this address echoes `message` now; never fails.
#[must_use]
pub fn echoes(address: SocketAddr, message: &[u8]) -> bool {
    let attempt = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect_timeout(&address, SOON)?;
        stream.set_read_timeout(Some(SOON))?;
        stream.write_all(message)?;
        let mut answer = vec![0; message.len()];
        stream.read_exact(&mut answer)?;
        Ok(answer == message)
    };
    attempt().unwrap_or(false)
}
