//! Datagrams over real sockets: the loopback interface and a temporary folder.

mod failing;
mod udp;
mod unix;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use super::*;
use crate::address::PeerRef;
use crate::listen::bind_udp;
use crate::testing::until_readable;

const SLOT: usize = 64 << 10;

fn bound(address: &str) -> (DatagramSocket, SocketAddr) {
    let (socket, _granted) = bind_udp(address.parse().unwrap(), 4 << 20).unwrap();
    match socket.local_address().unwrap() {
        PeerAddress::Ip(address) => (socket, address),
        PeerAddress::Unix(_) => panic!("not an IP socket"),
    }
}

fn client(address: &str) -> UdpSocket {
    let client = UdpSocket::bind(address).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client
}

/// Receives until `wanted` datagrams came, and shows each to `look`.
fn receive(
    socket: &DatagramSocket,
    arena: &mut ReceiveArena,
    wanted: usize,
    mut look: impl FnMut(Datagram<'_>),
) {
    let mut seen = 0;
    while seen < wanted {
        until_readable(socket);
        match socket.receive(arena) {
            ReceiveOutcome::Datagrams(batch) => batch.iter().for_each(|one| {
                look(one);
                seen += 1;
            }),
            ReceiveOutcome::Empty => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, wanted);
}

fn send_all(socket: &DatagramSocket, outs: &[Outgoing<'_>]) {
    let outcome = socket.send(
        &mut SendScratch::new(),
        outs.iter().copied(),
        |index, error| {
            panic!("{index}: {error}");
        },
    );
    assert_eq!(
        outcome,
        SendOutcome {
            taken: outs.len(),
            stopped: None
        }
    );
}

fn to(bytes: &[u8], address: SocketAddr) -> Outgoing<'_> {
    Outgoing {
        bytes,
        to: Some(PeerRef::Ip(address)),
        from: None,
    }
}
