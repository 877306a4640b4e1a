//! Accepting: from a shared listening socket to a stream of this worker, or of a less busy one.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::id::Kind;
use polyport_host::stream::{Address, StreamInfo};
use polyport_sys::PeerAddress;
use polyport_sys::accept::{AcceptOutcome, accept};
use polyport_sys::epoll::Interest;

use super::deadlines::{Due, Key};
use super::mail::{Accepted, Mail};
use super::stream::{Flag, Parts, Stream};
use super::table::Entity;
use super::{Engine, LISTENER};
use crate::common::shutdown::Phase;
use crate::data::accept::Listener;
use crate::data::admit::Permit;

/// Accepts in one event.
const ACCEPTS: usize = 64;
/// How long a listener rests when the system is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about that, nanoseconds.
const EXHAUSTED_QUIET_NANOS: u64 = 10_000_000_000;
/// Rounds of accepts when a listener closes: more than its queue holds.
const LAST_ROUNDS: usize = 128;
/// How long a listener waits for room at most, should the word that there is some be lost.
const ROOM_PAUSE: Duration = Duration::from_secs(1);
/// A connection goes to another worker when this one has so many more streams than that one.
const IMBALANCE: usize = 16;

/// A listener as this worker sees it.
#[derive(Debug)]
pub(super) struct Listening {
    listener: Arc<Listener>,
    name: Arc<str>,
    state: State,
    /// Ends its rest.
    pause: Option<Key>,
    /// It is in the list of what the next turn goes on with.
    again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Out of the epoll set until a deadline.
    Resting,
    /// Out of the epoll set until there is room for streams.
    Full,
    Closed,
}

impl Engine {
    pub(super) fn listen(&self, listener: Arc<Listener>) {
        let number = self.listeners.borrow().len();
        let name = Arc::from(listener.address.as_str());
        let opened = Listening {
            listener,
            name,
            state: State::Resting,
            pause: None,
            again: false,
        };
        self.listeners.borrow_mut().push(opened);
        if self.phase.get().is_none() {
            self.listen_again(number);
        }
    }

    /// Watches a listener (again).
    pub(super) fn listen_again(&self, number: usize) {
        let mut listeners = self.listeners.borrow_mut();
        let Some(listening) = listeners.get_mut(number) else {
            return;
        };
        if let Some(pause) = listening.pause.take() {
            self.deadlines.remove(pause);
        }
        if matches!(listening.state, State::Open | State::Closed) {
            return;
        }
        let fd = listening.listener.socket.as_fd();
        match self
            .epoll
            .add(fd, LISTENER | number as u64, Interest::LISTENER)
        {
            Ok(()) => listening.state = State::Open,
            Err(error) => {
                tracing::error!(
                    address = listening.listener.address,
                    service = listening.listener.service.name,
                    %error,
                    "the listener cannot be watched; it is tried again"
                );
                listening.state = State::Resting;
                listening.pause = Some(self.deadlines.add(Due::Listener(number), ROOM_PAUSE));
            }
        }
    }

    /// There may be room for streams again.
    pub(super) fn room_again(&self) {
        let full: Vec<usize> = {
            let listeners = self.listeners.borrow();
            let all = listeners.iter().enumerate();
            all.filter(|(_, one)| one.state == State::Full)
                .map(|(number, _)| number)
                .collect()
        };
        full.into_iter()
            .for_each(|number| self.listen_again(number));
    }

    /// A permit comes back: who waits for room is told, on all workers.
    pub(super) fn give_back(&self, permit: Permit) {
        let permits = Arc::clone(permit.permits());
        drop(permit);
        if permits.take_wanted() {
            self.neighbours.iter().for_each(|door| door.tell_room());
        }
    }

    /// Takes a listener out of the set: until `pause` is over, or for good.
    fn rest(&self, number: usize, state: State, pause: Option<Duration>) {
        let mut listeners = self.listeners.borrow_mut();
        let Some(listening) = listeners.get_mut(number) else {
            return;
        };
        if listening.state == State::Open {
            drop(self.epoll.remove(listening.listener.socket.as_fd()));
        }
        listening.state = state;
        let pause = pause.map(|pause| self.deadlines.add(Due::Listener(number), pause));
        if let Some(before) = std::mem::replace(&mut listening.pause, pause) {
            self.deadlines.remove(before);
        }
    }

    /// Stops accepting on all listeners, for good; who waits in a queue of the kernel is served before.
    pub(super) fn close_listeners(&self) {
        let count = self.listeners.borrow().len();
        for number in 0..count {
            // Who waits in the kernel's queue would be reset by the close.
            let mut rounds = 0;
            while self.accept(number) && rounds < LAST_ROUNDS {
                rounds += 1;
            }
            self.rest(number, State::Closed, None);
        }
        self.listeners.borrow_mut().clear();
    }

    /// Serves a listener that has connections, or one of whose turns was cut short.
    pub(super) fn accept_event(&self, number: usize) {
        if self.accept(number) {
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
    fn accept(&self, number: usize) -> bool {
        let Some((listener, name)) = self.open_listener(number) else {
            return false;
        };
        for _ in 0..ACCEPTS {
            let permits = &listener.service.permits;
            // Asked twice: room that came back between the first answer and the note that somebody waits.
            let Some(permit) = permits.take().or_else(|| permits.take()) else {
                tracing::debug!(service = listener.service.name, "no room for more streams");
                self.rest(number, State::Full, Some(ROOM_PAUSE));
                return false;
            };
            match accept(&listener.socket) {
                AcceptOutcome::Stream(socket, peer) => {
                    let listener = Arc::clone(&listener);
                    self.place(
                        Accepted {
                            socket,
                            peer,
                            listener,
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
                    self.warn_exhausted(&listener, &error);
                    self.rest(number, State::Resting, Some(EXHAUSTED_PAUSE));
                    return false;
                }
                AcceptOutcome::Broken(error) => {
                    self.give_back(permit);
                    tracing::error!(
                        address = listener.address,
                        service = listener.service.name,
                        %error,
                        "the listener has failed and is tried again"
                    );
                    self.rest(number, State::Resting, Some(ROOM_PAUSE));
                    return false;
                }
            }
        }
        true
    }

    /// Says so once in a while: the state lasts, and each pause is a tenth of a second.
    fn warn_exhausted(&self, listener: &Listener, error: &std::io::Error) {
        let now = self.now.get();
        if now < self.quiet_until.get() {
            return;
        }
        self.quiet_until
            .set(now.saturating_add(EXHAUSTED_QUIET_NANOS));
        tracing::warn!(
            address = listener.address,
            service = listener.service.name,
            %error,
            "accept pauses: raise the limit of open files, or lower limits.streams"
        );
    }

    fn open_listener(&self, number: usize) -> Option<(Arc<Listener>, Arc<str>)> {
        let listeners = self.listeners.borrow();
        let listening = listeners
            .get(number)
            .filter(|one| one.state == State::Open)?;
        Some((Arc::clone(&listening.listener), Arc::clone(&listening.name)))
    }

    /// Serves a connection here, or gives it to a worker with fewer streams.
    fn place(&self, accepted: Accepted, name: &Arc<str>) {
        let here = self.table.len();
        let idlest = self
            .neighbours
            .iter()
            .filter(|door| !door.is_stuck() && !door.is_closed())
            .min_by_key(|door| door.live());
        let accepted = match idlest {
            Some(door)
                if door.live() + IMBALANCE + here / 8 < here && !Arc::ptr_eq(door, &self.door) =>
            {
                match door.post(Mail::Adopt(Box::new(accepted))) {
                    Ok(()) => return,
                    Err(Mail::Adopt(accepted)) => *accepted,
                    Err(_) => return,
                }
            }
            _ => accepted,
        };
        self.begin(accepted, Arc::clone(name));
    }

    /// Takes over a connection that another worker accepted.
    pub(super) fn adopt(&self, accepted: Accepted) {
        let name = Arc::from(accepted.listener.address.as_str());
        self.begin(accepted, name);
    }

    fn begin(&self, accepted: Accepted, listener_name: Arc<str>) {
        let Accepted {
            socket,
            peer,
            listener,
            permit,
        } = accepted;
        let service = Arc::clone(&listener.service);
        let Ok(id) = self.directory.add(Kind::Stream, service.instance.index()) else {
            tracing::warn!(
                service = service.name,
                "a connection is refused: this worker's table is full"
            );
            return self.give_back(permit);
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
            now: self.now.get(),
        });
        if self.enter(&stream) {
            self.opened(&stream, listener.local.as_ref().map(address));
        }
    }

    /// Puts a new stream into table and epoll set; says whether that worked.
    pub(super) fn enter(&self, stream: &std::rc::Rc<Stream>) -> bool {
        self.table.put(Entity::Stream(std::rc::Rc::clone(stream)));
        self.count_live();
        if let Err(error) = self
            .epoll
            .add(stream.socket.as_fd(), stream.id.raw(), Interest::STREAM)
        {
            tracing::warn!(service = stream.service.name, %error, "a connection cannot be watched and is closed");
            self.release(stream);
            return false;
        }
        true
    }

    /// A stream is connected: the handler hears of it first.
    pub(super) fn opened(&self, stream: &std::rc::Rc<Stream>, local: Option<Address>) {
        self.serve(stream, |stream| {
            let ask = || stream.socket.local_address().map_or(Address::None, |local| address(&local));
            let local = local.unwrap_or_else(ask);
            let info = StreamInfo {
                local,
                remote: address(&stream.peer),
                dialled: stream.dialled,
                service: &stream.service.name,
                listener: &stream.listener,
            };
            match stream.service.instance.stream_open(stream.id, &info) {
                Ok(state) => {
                    stream.state.set(state);
                    self.arm(stream);
                }
                Err(misstep) => {
                    tracing::debug!(stream = %stream.id, reason = %misstep, "the handler refuses the stream");
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
