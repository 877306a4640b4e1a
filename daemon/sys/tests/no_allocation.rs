//! The data path does not allocate once the arenas exist: receive, read, reply.
#![expect(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use polyport_sys::datagrams::{Destination, LocalAddress, Run};
use polyport_sys::{
    DatagramSocket, Epoll, Events, Interest, PeerAddress, PeerRef, ReceiveArena, ReceiveOutcome,
    SendScratch, Stream, bind_udp,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: all work is done by the system's allocator; a thread-local without a destructor is
// counted up beside it, which allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps to the contract of `alloc`, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const LONG: Option<Duration> = Some(Duration::from_secs(10));

#[test]
fn datagrams_do_not_allocate() {
    let (server, _) = bind_udp("[::]:0".parse().unwrap(), 4 << 20).unwrap();
    let PeerAddress::Ip(bound) = server.local_address().unwrap() else {
        panic!("not an IP socket");
    };
    let there = SocketAddr::from(([127, 0, 0, 1], bound.port()));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let epoll = Epoll::new().unwrap();
    let mut events = Events::with_capacity(16);
    epoll
        .add(std::os::fd::AsFd::as_fd(&server), 1, Interest::DATAGRAM)
        .unwrap();
    let (mut arena, mut scratch) = (ReceiveArena::new(64, 64 << 10), SendScratch::new());
    let mut buffer = [0; 64];
    for _ in 0..3 {
        (0..40).for_each(|_| assert_eq!(client.send_to(b"hello", there).unwrap(), 5));
        let before = ALLOCATIONS.get();
        let mut echoed = 0;
        while echoed < 40 {
            epoll.poll(&mut events, LONG).unwrap();
            echoed += echo(&server, &mut arena, &mut scratch);
        }
        assert_eq!(ALLOCATIONS.get(), before);
        (0..40).for_each(|_| assert_eq!(client.recv(&mut buffer).unwrap(), 5));
    }
}

/// The peer that a datagram goes to, and the address that it comes from.
#[derive(Clone, Copy)]
struct Addresses<'a>(PeerRef<'a>, Option<LocalAddress>);

impl Destination for Addresses<'_> {
    fn to(&self) -> Option<PeerRef<'_>> {
        Some(self.0)
    }

    fn from(&self) -> Option<LocalAddress> {
        self.1
    }
}

fn echo(server: &DatagramSocket, arena: &mut ReceiveArena, scratch: &mut SendScratch) -> usize {
    match server.receive(arena) {
        ReceiveOutcome::Datagrams(batch) => {
            let runs = batch.trains().map(|train| Run {
                destination: Addresses(train.from, train.to()),
                payloads: train.pieces().map(|piece| piece.bytes),
            });
            server.send_runs(scratch, runs, |_, _| {}).taken
        }
        _ => 0,
    }
}

#[test]
fn failures_do_not_allocate() {
    let (server, _) = bind_udp("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    let port_0 = PeerRef::Ip(SocketAddr::from(([127, 0, 0, 1], 0)));
    let run = Run {
        destination: Addresses(port_0, None),
        payloads: std::iter::once(&b"x"[..]),
    };
    let (mut arena, mut scratch) = (ReceiveArena::new(8, 2048), SendScratch::new());
    let before = ALLOCATIONS.get();
    let mut failures = 0;
    let runs = std::iter::repeat_n(run, 5);
    server.send_runs(&mut scratch, runs, |_, error: io::Error| {
        failures += usize::from(error.raw_os_error().is_some());
    });
    assert!(matches!(server.receive(&mut arena), ReceiveOutcome::Empty));
    assert_eq!((ALLOCATIONS.get(), failures), (before, 5));
}

#[test]
fn streams_do_not_allocate() {
    let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
    let near = Stream::try_from(std::os::fd::OwnedFd::from(near)).unwrap();
    let far = Stream::try_from(std::os::fd::OwnedFd::from(far)).unwrap();
    let mut buffer = [0; 64];
    let before = ALLOCATIONS.get();
    assert!(near.read(&mut buffer).is_err());
    assert_eq!(near.write(b"hello").unwrap(), 5);
    assert_eq!(far.read(&mut buffer).unwrap(), 5);
    assert_eq!(ALLOCATIONS.get(), before);
}
