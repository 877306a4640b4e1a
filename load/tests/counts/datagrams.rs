//! A server of datagrams that does to each what a test wants.

use std::net::{SocketAddr, UdpSocket};
use std::thread;

/// What is sent back, and where to.
pub(crate) type Answers = Vec<(Vec<u8>, SocketAddr)>;

/// Serves until the test ends; what a datagram and its sender bring about is up to `behaviour`.
pub(crate) fn serve(
    mut behaviour: impl FnMut(&[u8], SocketAddr) -> Answers + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket2::SockRef::from(&socket)
        .set_recv_buffer_size(4 << 20)
        .unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut buffer = vec![0; 2048];
        loop {
            // The refusal of an earlier answer comes here; its peer has gone.
            let Ok((length, from)) = socket.recv_from(&mut buffer) else {
                continue;
            };
            for (answer, to) in behaviour(&buffer[..length], from) {
                socket.send_to(&answer, to).unwrap();
            }
        }
    });
    address
}

/// Sends back what came.
pub(crate) fn echo(datagram: &[u8], from: SocketAddr) -> Answers {
    vec![(datagram.to_vec(), from)]
}

/// Sends it back with a generation's stamp.
pub(crate) fn stamp(label: u64, datagram: &[u8], from: SocketAddr) -> Answers {
    let mut answer = format!("v{label} ").into_bytes();
    answer.extend(datagram);
    vec![(answer, from)]
}
