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

/// One received datagram.
#[derive(Debug, Clone, Copy)]
struct Datagram<'a> {
    bytes: &'a [u8],
    from: PeerRef<'a>,
    to: Option<LocalAddress>,
    truncated: bool,
}

fn datagrams<'a>(batch: &Received<'a>) -> impl Iterator<Item = Datagram<'a>> {
    batch.trains().flat_map(|train| {
        train.pieces().map(move |piece| Datagram {
            bytes: piece.bytes,
            from: train.from,
            to: train.to(),
            truncated: piece.truncated,
        })
    })
}

/// One datagram to be sent, as a run of its own.
#[derive(Debug, Clone, Copy)]
struct Out<'a> {
    bytes: &'a [u8],
    to: Option<PeerRef<'a>>,
    from: Option<LocalAddress>,
}

impl Destination for Out<'_> {
    fn to(&self) -> Option<PeerRef<'_>> {
        self.to
    }

    fn from(&self) -> Option<LocalAddress> {
        self.from
    }
}

fn send<'a>(
    socket: &DatagramSocket,
    scratch: &mut SendScratch,
    outs: impl IntoIterator<Item = Out<'a>>,
    failed: impl FnMut(usize, io::Error),
) -> SendOutcome {
    let runs = outs.into_iter().map(|out| Run {
        destination: out,
        payloads: std::iter::once(out.bytes),
    });
    socket.send_runs(scratch, runs, failed)
}

/// Receives until `wanted` datagrams came, and passes each to `look`.
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
            ReceiveOutcome::Datagrams(batch) => datagrams(&batch).for_each(|one| {
                look(one);
                seen += 1;
            }),
            ReceiveOutcome::Empty => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, wanted);
}

fn send_all(socket: &DatagramSocket, outs: &[Out<'_>]) {
    let outcome = send(
        socket,
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

fn to(bytes: &[u8], address: SocketAddr) -> Out<'_> {
    Out {
        bytes,
        to: Some(PeerRef::Ip(address)),
        from: None,
    }
}
