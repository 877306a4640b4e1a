//! Receiving datagrams: batch by batch, to the handler of the socket or to its flows.

use std::rc::Rc;
use std::time::Duration;

use polyport_host::datagram::Incoming;
use polyport_host::id::{Id, Kind};
use polyport_host::stream::Address;
use polyport_sys::datagrams::{Datagram, LocalAddress, ReceiveArena, ReceiveOutcome, Received};
use polyport_sys::{PeerAddress, PeerRef};
use std::net::SocketAddr;

use super::deadlines::Due;
use super::socket::Socket;
use super::{DATAGRAMS, Engine, SCRATCH};
use crate::data::shut::Reason;

/// Receives of one socket in one event.
const RECEIVES: usize = 4;
/// How long a socket rests when the system is out of memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

/// Who sent the datagrams of the running batch; peer ids name places in this list.
#[derive(Debug, Default)]
pub(super) struct Senders {
    batch: u32,
    list: Vec<Sender>,
}

/// A sender, and which of our addresses it asked.
pub(super) type Sender = (PeerAddress, Option<LocalAddress>);

impl Senders {
    /// The sender that a peer id names, while its batch is shown.
    pub(super) fn named(&self, peer: Id) -> Option<&Sender> {
        (peer.version() == self.batch).then(|| self.list.get(peer.index()))?
    }
}

impl Engine {
    pub(super) fn receive(&self, socket: &Rc<Socket>) {
        for _ in 0..RECEIVES {
            if socket.ended.get() {
                return;
            }
            let mut arena = self.arena.borrow_mut();
            let arena = arena.get_or_insert_with(|| ReceiveArena::new(DATAGRAMS, SCRATCH));
            match socket.socket.receive(arena) {
                ReceiveOutcome::Datagrams(received) => {
                    self.show_datagrams(socket, &received);
                    if received.drained() {
                        return;
                    }
                }
                ReceiveOutcome::Empty => return,
                ReceiveOutcome::Refused(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    let to = socket
                        .remote
                        .as_ref()
                        .map_or(Address::None, super::listening::address);
                    let instance = &socket.service.instance;
                    let said = instance.socket_send_error(socket.state.get(), socket.id, to, errno);
                    self.socket_told(socket, "on_send_error", said);
                }
                ReceiveOutcome::Exhausted(error) => {
                    tracing::warn!(address = %socket.listener, %error, "receive pauses: the system is out of memory");
                    self.deadlines.add(Due::Receive(socket.id), EXHAUSTED_PAUSE);
                    return;
                }
                ReceiveOutcome::Broken(error) => {
                    tracing::error!(address = %socket.listener, %error, "the socket has failed and is closed");
                    return self.close_socket(socket, Reason::Host);
                }
            }
        }
        self.again.borrow_mut().push_back(socket.id);
    }

    fn show_datagrams(&self, socket: &Rc<Socket>, received: &Received<'_>) {
        if let Some(drops) = received.kernel_drops() {
            socket.kernel_drops.set(drops);
        }
        let instance = &socket.service.instance;
        let wants_truncated = instance.wants_truncated();
        let shown = |one: &Datagram<'_>| wants_truncated || !one.truncated;
        let number = {
            let mut senders = self.senders.borrow_mut();
            senders.batch = senders.batch.wrapping_add(1).max(1);
            senders.list.clear();
            for one in received.iter() {
                if one.truncated {
                    self.count_truncated(socket);
                }
                if shown(&one) {
                    senders.list.push((one.from.to_owned(), one.to));
                }
            }
            senders.batch
        };
        let mut room = self.batch.borrow_mut();
        let all = received
            .iter()
            .filter(shown)
            .enumerate()
            .map(|(place, one)| Incoming {
                bytes: one.bytes,
                peer: peer_id(place, number),
                from: match one.from {
                    PeerRef::Ip(from) => Address::Ip(from),
                    PeerRef::Unix(_) => Address::Unix,
                },
                to: asked(socket, one.to),
                truncated: one.truncated,
            });
        let batch = room.fill(self.now.get(), all);
        if batch.is_empty() {
            return;
        }
        if instance.flows().is_some() {
            self.show_to_flows(socket, batch);
        } else {
            let said = instance.socket_datagrams(socket.state.get(), socket.id, batch);
            self.socket_told(socket, "on_datagrams", said);
        }
        // Names of an ended batch name nobody.
        self.senders.borrow_mut().list.clear();
    }

    fn count_truncated(&self, socket: &Socket) {
        let before = socket.truncated.replace(socket.truncated.get() + 1);
        // Each power of two: a flood of them is worth a few lines, not a flood.
        if (before + 1).is_power_of_two() {
            tracing::warn!(
                service = socket.service.name,
                address = %socket.listener,
                truncated = before + 1,
                "datagram longer than 64 KiB was cut by the system"
            );
        }
    }

    /// The sender at a place of the running batch.
    pub(super) fn sender_at(&self, place: usize) -> Option<Sender> {
        self.senders.borrow().list.get(place).cloned()
    }
}

fn peer_id(place: usize, batch: u32) -> Id {
    Id::new(
        Kind::Peer,
        0,
        u32::try_from(place).unwrap_or(u32::MAX),
        batch,
    )
}

/// The address that a datagram was sent to: told with it, or the socket's own.
fn asked(socket: &Socket, told: Option<LocalAddress>) -> Address {
    match (&socket.local, told) {
        (PeerAddress::Ip(local), Some(told)) => Address::Ip(SocketAddr::new(told.ip, local.port())),
        (local, _) => super::listening::address(local),
    }
}
