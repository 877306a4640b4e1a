//! Receiving datagrams: batch by batch, to the handler of the socket or to its flows.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polyport_host::datagram::{IncomingPayload, IncomingRun};
use polyport_host::id::{Id, Kind};
use polyport_host::stream::Address;
use polyport_sys::datagrams::{LocalAddress, ReceiveArena, ReceiveOutcome, Received};
use polyport_sys::{PeerAddress, PeerRef};
use std::net::SocketAddr;

use super::socket::Socket;
use super::{DATAGRAMS, Engine, SCRATCH};
use crate::shut::Reason;
use crate::worker::Due;

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
    /// Begins a batch: the names of the last one name nobody any more.
    fn begin(&mut self) {
        self.batch = self.batch.wrapping_add(1).max(1);
        self.list.clear();
    }

    /// Names who sent the next datagrams of the batch; peers from one sender share a name.
    fn name(&mut self, from: PeerRef<'_>, to: Option<LocalAddress>) -> Id {
        let last = self.list.last();
        if last.is_none_or(|last| (last.0.as_ref(), last.1) != (from, to)) {
            self.list.push((from.to_owned(), to));
        }
        let place = u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX);
        Id::new(Kind::Peer, 0, place, self.batch)
    }

    /// The sender that a peer id names, while its batch is shown.
    pub(super) fn named(&self, peer: Id) -> Option<&Sender> {
        let of_batch = peer.kind() == Some(Kind::Peer) && peer.version() == self.batch;
        of_batch.then(|| self.list.get(peer.index()))?
    }
}

impl Engine {
    pub(super) fn receive(&self, socket: &Rc<Socket>) {
        for _ in 0..RECEIVES {
            if !socket.hears() || !socket.is_serving() || self.aside_ground(socket) {
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
                    let service = socket.service();
                    let instance = &service.instance;
                    let said = instance.send_error(socket.id, socket.state.get(), to, errno);
                    self.socket_told(socket, "on_send_error", said);
                }
                ReceiveOutcome::Exhausted(error) => {
                    tracing::warn!(address = %socket.listener, %error, "receive pauses: the system is out of memory");
                    self.timers.add(Due::Receive(socket.id), EXHAUSTED_PAUSE);
                    return;
                }
                ReceiveOutcome::Broken(error) => {
                    tracing::error!(address = %socket.listener, %error, "the socket has failed and is closed");
                    return self.close_socket(socket, Reason::Host);
                }
            }
        }
        self.socket_again(socket);
    }

    /// Puts the socket on the list of what the next turn goes on with, once.
    pub(super) fn socket_again(&self, socket: &Socket) {
        if !socket.again.replace(true) {
            self.again.borrow_mut().push_back(socket.id);
        }
    }

    fn show_datagrams(&self, socket: &Rc<Socket>, received: &Received<'_>) {
        if let Some(drops) = received.kernel_drops()
            && let Some(listener) = socket.socket.listener()
        {
            listener.dropped_by_kernel.store(drops, Ordering::Relaxed);
        }
        let service = socket.service();
        let instance = &service.instance;
        let wants_truncated = instance.wants_truncated();
        let mut room = self.batch.borrow_mut();
        let batch = {
            let mut senders = self.senders.borrow_mut();
            senders.begin();
            let all = received.trains().map(|train| {
                if train.truncated {
                    self.count_truncated(socket);
                }
                let shown = train.pieces().map(|one| IncomingPayload {
                    bytes: one.bytes,
                    truncated: one.truncated,
                });
                IncomingRun {
                    peer: senders.name(train.from, train.to()),
                    from: match train.from {
                        PeerRef::Ip(from) => Address::Ip(from),
                        PeerRef::Unix(_) => Address::Unix,
                    },
                    to: asked(socket, train.to()),
                    payloads: shown.filter(move |one| wants_truncated || !one.truncated),
                }
            });
            room.fill(self.clock.now(), all)
        };
        if batch.is_empty() {
            return;
        }
        if socket.socket.has_earlier() {
            self.show_to_faces(socket, batch);
        } else if instance.flows().is_some() {
            self.show_to_flows(socket, batch);
        } else {
            let said = instance.datagrams(socket.id, socket.state.get(), batch);
            self.socket_told(socket, "on_datagrams", said);
        }
        // Names of an ended batch name nobody.
        self.senders.borrow_mut().list.clear();
    }

    fn count_truncated(&self, socket: &Socket) {
        let truncated = &socket.socket.truncated;
        let before = truncated.replace(truncated.get() + 1);
        // Each power of two: a flood of them is worth a few lines, not a flood.
        if (before + 1).is_power_of_two() {
            tracing::warn!(
                service = socket.service().name,
                address = %socket.listener,
                truncated = before + 1,
                "datagram longer than 64 KiB was cut by the system"
            );
        }
    }

    /// The sender that a peer id of the running batch names.
    pub(super) fn sender(&self, peer: Id) -> Option<Sender> {
        self.senders.borrow().named(peer).cloned()
    }
}

/// The address that a datagram was sent to: told with it, or the socket's own.
fn asked(socket: &Socket, told: Option<LocalAddress>) -> Address {
    match (&socket.local, told) {
        (PeerAddress::Ip(local), Some(told)) => Address::Ip(SocketAddr::new(told.ip, local.port())),
        (local, _) => super::listening::address(local),
    }
}
