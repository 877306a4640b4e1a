//! Accepting: from a shared listening socket to a stream of this worker, or of a less busy one.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::callbacks::Info;
use polyport_host::id::Kind;
use polyport_host::stream::{Address, StreamInfo};
use polyport_sys::PeerAddress;
use polyport_sys::accept::{AcceptOutcome, accept};
use polyport_sys::epoll::Interest;

use super::Engine;
use super::listeners::{Listening, ROOM_PAUSE, State};
use super::stream::{Flag, Parts, Stream};
use super::table::Entity;
use crate::accept::Listener;
use crate::admit::Permit;
use crate::service::Service;
use crate::worker::{Accepted, Command};
use polyport_common::shutdown::Phase;

/// Accepts in one event.
const ACCEPTS: usize = 64;
/// How long a listener rests when the system is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about that, nanoseconds.
const EXHAUSTED_QUIET_NANOS: u64 = 10_000_000_000;
/// A connection goes to another worker when this one has so many more streams than that one.
const IMBALANCE: usize = 16;

impl Engine {
    /// A permit comes back: who waits for room is told, on all workers.
    pub(super) fn give_back(&self, permit: Permit) {
        let permits = Arc::clone(permit.permits());
        drop(permit);
        if permits.take_wanted() {
            self.peers.iter().for_each(|mailbox| mailbox.notify_room());
        }
    }

    /// Serves a listener that has connections, or one of whose turns was cut short.
    pub(super) fn accept_event(&self, number: usize) {
        let is_open = |one: &mut Listening| one.state == State::Open;
        let open = self
            .listeners
            .borrow_mut()
            .get_mut(number)
            .is_some_and(is_open);
        if open && self.accept(number) {
            let mut listeners = self.listeners.borrow_mut();
            if let Some(listening) = listeners.get_mut(number)
                && !std::mem::replace(&mut listening.again, true)
            {
                self.listener_again(number);
            }
        }
    }

    /// A listener whose turn was cut short comes again.
    pub(super) fn accept_again(&self, number: usize) {
        if let Some(listening) = self.listeners.borrow_mut().get_mut(number) {
            listening.again = false;
        }
        self.accept_event(number);
    }

    /// Accepts what waits; says whether there may be more.
    pub(super) fn accept(&self, number: usize) -> bool {
        if self.ceded.get() {
            // Another process has the same queue.
            return false;
        }
        let Some((listener, service, name)) = self.open_listener(number) else {
            return false;
        };
        for _ in 0..ACCEPTS {
            let permits = &service.permits;
            // Asked twice: room that came back between the first answer and the note that somebody waits.
            let Some(permit) = permits.take().or_else(|| permits.take()) else {
                tracing::debug!(service = service.name, "no room for more streams");
                self.rest(number, State::Full, ROOM_PAUSE);
                return false;
            };
            match accept(&listener.socket) {
                AcceptOutcome::Stream(socket, peer) => {
                    let (listener, service) = (Arc::clone(&listener), Arc::clone(&service));
                    self.place(
                        Accepted {
                            socket,
                            peer,
                            listener,
                            service,
                            permit,
                        },
                        &name,
                    );
                }
                AcceptOutcome::Empty => {
                    self.give_back(permit);
                    return false;
                }
                AcceptOutcome::Again => self.give_back(permit),
                AcceptOutcome::Exhausted(error) => {
                    self.give_back(permit);
                    self.warn_exhausted(&listener, &service, &error);
                    self.rest(number, State::Resting, EXHAUSTED_PAUSE);
                    return false;
                }
                AcceptOutcome::Broken(error) => {
                    self.give_back(permit);
                    // One that was closed meanwhile goes with the snapshot that comes.
                    if !listener.is_refused() {
                        tracing::error!(
                            address = listener.address,
                            service = service.name,
                            %error,
                            "the listener has failed and is tried again"
                        );
                    }
                    self.rest(number, State::Resting, ROOM_PAUSE);
                    return false;
                }
            }
        }
        true
    }

    /// Says so once in a while: the state lasts, and each pause is a tenth of a second.
    fn warn_exhausted(&self, listener: &Listener, service: &Service, error: &std::io::Error) {
        let now = self.clock.now();
        if now < self.quiet_until.get() {
            return;
        }
        self.quiet_until
            .set(now.saturating_add(EXHAUSTED_QUIET_NANOS));
        tracing::warn!(
            address = listener.address,
            service = service.name,
            %error,
            "accept pauses: raise the limit of open files, or lower limits.streams"
        );
    }

    /// Serves a connection here, or gives it to a worker with fewer streams: the less busy of two random ones.
    fn place(&self, accepted: Accepted, name: &Arc<str>) {
        let here = self.table.len();
        let candidates = self.peers.len().min(2);
        let lighter = (0..candidates)
            .filter_map(|_| self.peers.get(self.random() % self.peers.len()))
            .filter(|mailbox| !mailbox.is_stuck() && !mailbox.is_closed())
            .min_by_key(|mailbox| mailbox.live());
        let accepted = match lighter {
            Some(mailbox)
                if mailbox.live() + IMBALANCE + here / 8 < here
                    && !Arc::ptr_eq(mailbox, &self.mailbox) =>
            {
                match mailbox.send(Command::Adopt(Box::new(accepted))) {
                    Ok(()) => return,
                    Err(Command::Adopt(accepted)) => *accepted,
                    Err(_) => return,
                }
            }
            _ => accepted,
        };
        self.begin(accepted, Arc::clone(name));
    }

    /// A pseudo-random number (xorshift64, Marsaglia 2003); the same sequence in each run.
    fn random(&self) -> usize {
        let mut next = self.random.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        self.random.set(next);
        usize::try_from(next >> 33).unwrap_or(0)
    }

    /// Takes over a connection that another worker accepted. It begins with the service that this worker knows, which
    /// is the newer one if the other has not come as far.
    pub(super) fn adopt(&self, mut accepted: Accepted) {
        let known = self.listeners.borrow().service_of(&accepted.listener);
        let is_gone = known.is_none();
        if let Some(service) = known.or_else(|| self.service_now(&accepted.service.name)) {
            accepted.service = service;
        }
        if self.is_frozen(&accepted.service.instance) {
            tracing::warn!(
                service = accepted.service.name,
                address = accepted.listener.address,
                peer = ?accepted.peer,
                "a connection that waited is closed: its service and its code are gone"
            );
            return self.give_back(accepted.permit);
        }
        let name = Arc::from(accepted.listener.address.as_str());
        let stream = self.begin(accepted, name);
        if let Some(stream) = stream.filter(|_| is_gone) {
            self.place_again(&stream);
        }
    }

    /// The service of this name, as it is now.
    fn service_now(&self, name: &str) -> Option<Arc<Service>> {
        let snapshot = self.snapshot.borrow();
        let mut services = snapshot.as_ref()?.services.iter();
        services.find(|one| one.name == name).map(Arc::clone)
    }

    fn begin(&self, accepted: Accepted, listener_name: Arc<str>) -> Option<Rc<Stream>> {
        let accepted = self.aside_accepted(accepted)?;
        let Accepted {
            socket,
            peer,
            listener,
            service,
            permit,
        } = accepted;
        let Ok(id) = self.ids.add(Kind::Stream, service.instance.index()) else {
            tracing::warn!(
                service = service.name,
                "a connection is refused: this worker's table is full"
            );
            self.give_back(permit);
            return None;
        };
        let stream = Stream::new(Parts {
            id,
            family: id,
            socket,
            peer,
            service,
            listener: listener_name,
            dialled: None,
            permit: Some(permit),
            now: self.clock.now(),
        });
        if !self.enter(&stream) {
            return None;
        }
        self.opened(&stream, listener.local.as_ref().map(address));
        Some(stream)
    }

    /// Puts a new stream into table and epoll set; says whether that worked.
    pub(super) fn enter(&self, stream: &Rc<Stream>) -> bool {
        self.table.put(Entity::Stream(Rc::clone(stream)));
        stream.service().began();
        self.count_live();
        if let Err(error) = self
            .epoll
            .add(stream.socket.as_fd(), stream.id.raw(), Interest::STREAM)
        {
            tracing::warn!(service = stream.service().name, %error, "a connection cannot be watched and is closed");
            self.release(stream);
            return false;
        }
        true
    }

    /// A stream is connected: the handler hears of it first.
    pub(super) fn opened(&self, stream: &Rc<Stream>, local: Option<Address>) {
        self.serve(stream, |stream| {
            let service = stream.service();
            let ask = || stream.socket.local_address().map_or(Address::None, |local| address(&local));
            let local = local.unwrap_or_else(ask);
            let info = Info::Stream(StreamInfo {
                local,
                remote: address(&stream.peer),
                dialled: stream.dialled,
                service: &service.name,
                listener: &stream.listener,
            });
            match service.instance.open(stream.id, &info) {
                Ok(state) => {
                    stream.state.set(state);
                    self.arm(stream);
                }
                Err(error) => {
                    tracing::debug!(stream = %stream.id, reason = %error, "the handler refuses the stream");
                    // Its `open` did not end well, so there is no `closed`.
                    stream.set(Flag::ENDED);
                    self.drop_output(stream);
                    self.release(stream);
                }
            }
        });
        match self.phase.get() {
            Some(Phase::Force) => self.force(stream),
            Some(Phase::Drain { .. }) => self.drain_stream(stream),
            None => {}
        }
    }
}

/// As plugins see it.
pub(super) fn address(peer: &PeerAddress) -> Address {
    match peer {
        PeerAddress::Ip(ip) => Address::Ip(*ip),
        PeerAddress::Unix(_) => Address::Unix,
    }
}
