//! Datagram round trips: each peer has a window of datagrams on their way. Peers receive with
//! `UDP_GRO`, as if behind a network card: what the server joined is cut by the load, not by the
//! kernel in the server's own time.

use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::sockopt::{UdpGroSegment, UdpGsoSegment};
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, sendmmsg, setsockopt};

use super::Aim;
use super::payload::Payload;
use super::poll::Poll;
use crate::cases::Sending;
use crate::meter::{Outcome, Turn};

/// What did not come back after so long never will.
const LOST: Duration = Duration::from_millis(100);
/// More than this share lost, and the figures mean nothing.
const LOST_MAX: f64 = 0.02;
const BUFFER_BYTES: usize = 4 << 20;

/// The shape of the load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) peers: u32,
    pub(crate) window: u32,
    pub(crate) bytes: usize,
    pub(crate) sending: Sending,
}

#[derive(Debug)]
struct Peer {
    socket: UdpSocket,
    id: u32,
    sent: u32,
    in_flight: u32,
    heard: Instant,
}

pub(crate) fn run(aim: &Aim, plan: Plan) -> Result<Outcome> {
    let mut poll = Poll::new()?;
    let mut payload = Payload::new(plan.bytes);
    let mut buffer = vec![0; 64 * 1024];
    let mut peers = Vec::new();
    for id in 0..plan.peers {
        let peer = Peer::open(aim, plan, id)?;
        poll.watch(&peer.socket, id as usize)?;
        peers.push(peer);
    }
    let mut window = aim.window()?;
    let (mut operations, mut lost, mut looked) = (0, 0, Instant::now());
    for peer in &mut peers {
        peer.refill(&mut payload, plan)?;
    }
    loop {
        for ready in poll.look()?.into_iter().filter(|ready| ready.readable) {
            let peer = peers.get_mut(ready.index).context("no such peer")?;
            operations += peer.receive(&payload, &mut buffer)?;
            peer.refill(&mut payload, plan)?;
        }
        if looked.elapsed() > LOST {
            looked = Instant::now();
            for peer in peers.iter_mut().filter(|peer| peer.heard + LOST < looked) {
                lost += u64::from(std::mem::take(&mut peer.in_flight));
                peer.heard = looked;
                peer.refill(&mut payload, plan)?;
            }
        }
        if let Turn::Done(outcome) = window.turn(operations)? {
            let share = lost as f64 / operations.max(1) as f64;
            ensure!(
                share < LOST_MAX,
                "{lost} datagrams were lost, {operations} came back"
            );
            return Ok(Outcome { lost, ..outcome });
        }
    }
}

impl Peer {
    fn open(aim: &Aim, plan: Plan, id: u32) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect(aim.address)?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES)?;
        options.set_send_buffer_size(BUFFER_BYTES)?;
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
            heard: Instant::now(),
        })
    }

    /// Reads all that is there; a read may give several datagrams joined, all of one size.
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
            self.heard = Instant::now();
        }
        // An echo that was given up may still come, hence no stricter comparison here.
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
