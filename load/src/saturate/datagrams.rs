//! Datagram round trips: each peer has a window of datagrams in flight. Peers receive with
//! `UDP_GRO`, as if behind a network card: datagrams that the server joined are cut by the load,
//! not by the kernel in the server's own time.

use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg, setsockopt};

use super::payload::Payload;
use super::{Sending, Shape};
use crate::poll::{Poll, Who};

/// A datagram without an answer after this time counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(100);
/// More than this share lost, and the figures mean nothing.
const LOST_MAX: f64 = 0.02;
const BUFFER_BYTES: usize = 64 * 1024;
/// Of each socket, in the kernel.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What every peer does.
#[derive(Clone, Copy, Debug)]
struct Plan {
    window: u32,
    bytes: usize,
    sending: Sending,
}

#[derive(Debug)]
struct Peer {
    socket: UdpSocket,
    id: u32,
    sent: u32,
    in_flight: u32,
    answered_at: Instant,
}

/// Returns how many datagrams were lost.
pub(super) fn run(
    server: SocketAddr,
    shape: Shape,
    is_over: &mut dyn FnMut(u64) -> Result<bool>,
) -> Result<u64> {
    let Shape::Datagrams {
        peers: count,
        window,
        bytes,
        sending,
    } = shape
    else {
        bail!("this load sends no datagrams");
    };
    let plan = Plan {
        window,
        bytes,
        sending,
    };
    let mut poll = Poll::new()?;
    let mut payload = Payload::new(bytes);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut peers = Vec::new();
    for id in 0..count {
        let peer = Peer::open(server, plan, id)?;
        poll.watch(&peer.socket, Who::Source(id))?;
        peers.push(peer);
    }
    let (mut operations, mut lost, mut checked_at) = (0, 0, Instant::now());
    for peer in &mut peers {
        peer.refill(&mut payload, plan)?;
    }
    while !is_over(operations)? {
        for ready in poll.look()?.into_iter().filter(|ready| ready.readable) {
            let peer = peers.get_mut(ready.slot as usize);
            let peer = peer.context("no such peer")?;
            operations += peer.receive(&payload, &mut buffer)?;
            peer.refill(&mut payload, plan)?;
        }
        if checked_at.elapsed() > LOST_AFTER {
            checked_at = Instant::now();
            let silent = |peer: &&mut Peer| peer.answered_at + LOST_AFTER < checked_at;
            for peer in peers.iter_mut().filter(silent) {
                lost += u64::from(std::mem::take(&mut peer.in_flight));
                peer.answered_at = checked_at;
                peer.refill(&mut payload, plan)?;
            }
        }
    }
    let share = lost as f64 / operations.max(1) as f64;
    ensure!(
        share < LOST_MAX,
        "{lost} datagrams were lost, {operations} came back"
    );
    Ok(lost)
}

impl Peer {
    fn open(server: SocketAddr, plan: Plan, id: u32) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
        options.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
        setsockopt(&socket, UdpGroSegment, &true).context("no UDP_GRO")?;
        if plan.sending == Sending::Segmented {
            let size = i32::try_from(plan.bytes)?;
            setsockopt(&socket, UdpGsoSegment, &size).context("no UDP_SEGMENT")?;
        }
        Ok(Self {
            socket,
            id,
            sent: 0,
            in_flight: 0,
            answered_at: Instant::now(),
        })
    }

    /// Reads all datagrams that have come; a read may return several of one size, joined.
    fn receive(&mut self, payload: &Payload, buffer: &mut [u8]) -> Result<u64> {
        let mut count = 0_u32;
        loop {
            let length = match self.socket.recv(buffer) {
                Ok(length) => length,
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(fault).context("cannot receive"),
            };
            ensure!(length > 0, "an empty datagram came back");
            for datagram in buffer
                .get(..length)
                .unwrap_or_default()
                .chunks(payload.bytes())
            {
                payload.check_datagram(self.id, self.sent, datagram)?;
                count += 1;
            }
        }
        if count > 0 {
            self.answered_at = Instant::now();
        }
        // The echo of a datagram that counts as lost may still come, so the count may fall below 0.
        self.in_flight = self.in_flight.saturating_sub(count);
        Ok(u64::from(count))
    }

    fn refill(&mut self, payload: &mut Payload, plan: Plan) -> Result<()> {
        let room = plan.window - self.in_flight;
        match plan.sending {
            Sending::Single => {
                for _ in 0..room {
                    self.socket
                        .send(payload.message(self.id, self.sent))
                        .context("cannot send")?;
                    self.sent += 1;
                }
            }
            _ if self.in_flight > 0 => return Ok(()),
            Sending::Batch => self.send_batch(&self.train(payload, room), payload.bytes())?,
            Sending::Segmented => {
                let train = self.train(payload, room);
                let length = self.socket.send(&train).context("cannot send")?;
                ensure!(length == train.len(), "a part of the segments was sent");
            }
        }
        if plan.sending != Sending::Single {
            self.sent += room;
        }
        self.in_flight = plan.window;
        Ok(())
    }

    /// The next `count` messages, one behind the other.
    fn train(&self, payload: &mut Payload, count: u32) -> Vec<u8> {
        let mut train = Vec::with_capacity(payload.bytes() * count as usize);
        for sequence in self.sent..self.sent + count {
            train.extend_from_slice(payload.message(self.id, sequence));
        }
        train
    }

    fn send_batch(&self, train: &[u8], bytes: usize) -> Result<()> {
        let slices: Vec<[IoSlice<'_>; 1]> = train
            .chunks(bytes)
            .map(|message| [IoSlice::new(message)])
            .collect();
        let mut headers = MultiHeaders::<SockaddrIn>::preallocate(slices.len(), None);
        let fd = self.socket.as_raw_fd();
        let to = vec![None; slices.len()];
        let sent = sendmmsg(fd, &mut headers, &slices, to, [], MsgFlags::empty())
            .context("cannot send")?;
        ensure!(sent.count() == slices.len(), "a part of the batch was sent");
        Ok(())
    }
}
