//! The listeners of a worker: which there are, and whether each is watched.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use polyport_sys::accept::{AcceptOutcome, accept};
use polyport_sys::epoll::Interest;

use super::{Engine, LISTENER};
use crate::accept::{Listener, Origin};
use crate::service::Service;
use crate::worker::{Due, TimerKey};

/// Rounds of accepts when a listener closes: more than its queue holds.
const LAST_ROUNDS: usize = 128;
/// More than waits at a listener.
const QUEUE_MAX: usize = 1 << 16;
/// How long a listener waits for room at most, should the word that there is some be lost.
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// A listener as this worker sees it.
#[derive(Debug)]
pub(super) struct Listening {
    listener: Arc<Listener>,
    service: Arc<Service>,
    name: Arc<str>,
    pub(super) state: State,
    /// Ends its rest.
    pause: Option<TimerKey>,
    /// It is in the list of what the next turn goes on with.
    pub(super) again: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Out of the epoll set until a deadline.
    Resting,
    /// Out of the epoll set until there is room for streams.
    Full,
    /// Out of the epoll set until its instance is released, or the daemon's listeners are its own again.
    Held,
    /// Out of the epoll set for good; who waits in its queue is served.
    Closing,
}

impl Listening {
    /// Takes who waits though there is no room for them: the close would reset them in silence. Who waits at a socket
    /// of somebody else waits for whoever serves it next.
    fn turn_away(&self) {
        if self.listener.origin == Origin::Inherited {
            return;
        }
        let taken = (0..QUEUE_MAX).map(|_| accept(&self.listener.socket));
        let tried =
            taken.take_while(|one| matches!(one, AcceptOutcome::Stream(..) | AcceptOutcome::Again));
        let refused = tried
            .filter(|one| matches!(one, AcceptOutcome::Stream(..)))
            .count();
        if refused != 0 {
            tracing::warn!(
                service = self.service.name,
                address = self.listener.address,
                refused,
                "the listener closes while there is no room for who waits there: raise limits.streams"
            );
        }
    }
}

/// The listeners of a worker, by number; a place that is free is used again.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<Option<Listening>>);

impl Listeners {
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Listening> {
        self.0.get_mut(number)?.as_mut()
    }

    fn put(&mut self, listening: Listening) -> usize {
        let free = self.0.iter().position(Option::is_none);
        let number = free.unwrap_or(self.0.len());
        match self.0.get_mut(number) {
            Some(place) => *place = Some(listening),
            None => self.0.push(Some(listening)),
        }
        number
    }

    /// The numbers of those that fit.
    fn numbers(&self, fits: impl Fn(&Listening) -> bool) -> Vec<usize> {
        let all = self.0.iter().enumerate();
        all.filter(|(_, place)| place.as_ref().is_some_and(&fits))
            .map(|(number, _)| number)
            .collect()
    }

    /// The service of a listener, while it listens here.
    pub(super) fn service_of(&self, listener: &Arc<Listener>) -> Option<Arc<Service>> {
        let mut all = self.0.iter().flatten();
        let found = all.find(|one| Arc::ptr_eq(&one.listener, listener));
        found.map(|one| Arc::clone(&one.service))
    }
}

impl Engine {
    /// Listens where the snapshot says: what is new is watched, what is kept may get another service, and what is gone
    /// is closed after who waits there was accepted.
    pub(super) fn swap_listeners(&self, wanted: &[(Arc<Listener>, Arc<Service>)]) {
        let service_of = |listener: &Arc<Listener>| {
            let found = wanted.iter().find(|(one, _)| Arc::ptr_eq(one, listener));
            found.map(|(_, service)| service)
        };
        let all = self.listeners.borrow().numbers(|_| true);
        for number in all {
            let mut listeners = self.listeners.borrow_mut();
            let Some(listening) = listeners.get_mut(number) else {
                continue;
            };
            if let Some(service) = service_of(&listening.listener) {
                listening.listener.serves(&service.name);
                listening.service = Arc::clone(service);
            } else {
                drop(listeners);
                self.close_listener(number);
            }
        }
        for (listener, service) in wanted {
            if self.listeners.borrow().service_of(listener).is_none() {
                self.listen(listener, service);
            }
        }
        // Limits may be wider now.
        self.room_again();
        self.review_listeners();
    }

    /// Takes the listeners of instances that are held out of the set, and watches those that were.
    pub(super) fn review_listeners(&self) {
        let differs = |one: &Listening| self.waits_at(one) != (one.state == State::Held);
        let numbers = self.listeners.borrow().numbers(differs);
        for number in numbers {
            self.listen_again(number);
        }
    }

    /// Is who comes there to wait in the kernel?
    fn waits_at(&self, listening: &Listening) -> bool {
        self.ceded.get() || self.is_held(listening.service.instance.index())
    }

    fn listen(&self, listener: &Arc<Listener>, service: &Arc<Service>) {
        listener.serves(&service.name);
        let opened = Listening {
            listener: Arc::clone(listener),
            service: Arc::clone(service),
            name: Arc::from(listener.address.as_str()),
            state: State::Resting,
            pause: None,
            again: false,
        };
        let number = self.listeners.borrow_mut().put(opened);
        self.listen_again(number);
    }

    /// Watches a listener (again).
    pub(super) fn listen_again(&self, number: usize) {
        let mut listeners = self.listeners.borrow_mut();
        let Some(listening) = listeners.get_mut(number) else {
            return;
        };
        if let Some(pause) = listening.pause.take() {
            self.timers.remove(pause);
        }
        let held = self.waits_at(listening);
        if listening.state == State::Open {
            if !held {
                return;
            }
            drop(self.epoll.remove(listening.listener.socket.as_fd()));
        }
        if held {
            listening.state = State::Held;
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
                    service = listening.service.name,
                    %error,
                    "the listener cannot be watched; it is tried again"
                );
                listening.state = State::Resting;
                listening.pause = Some(self.timers.add(Due::Listener(number), ROOM_PAUSE));
            }
        }
    }

    /// There may be room for streams again.
    pub(super) fn room_again(&self) {
        let is_full = |one: &Listening| one.state == State::Full;
        let full = self.listeners.borrow().numbers(is_full);
        full.into_iter()
            .for_each(|number| self.listen_again(number));
    }

    /// Takes a listener out of the set until `pause` is over.
    pub(super) fn rest(&self, number: usize, state: State, pause: Duration) {
        let mut listeners = self.listeners.borrow_mut();
        let Some(listening) = listeners.get_mut(number) else {
            return;
        };
        if listening.state == State::Open {
            drop(self.epoll.remove(listening.listener.socket.as_fd()));
        }
        listening.state = state;
        let pause = self.timers.add(Due::Listener(number), pause);
        if let Some(before) = listening.pause.replace(pause) {
            self.timers.remove(before);
        }
    }

    /// Stops accepting on all listeners, for good.
    pub(super) fn close_listeners(&self) {
        let all = self.listeners.borrow().numbers(|_| true);
        all.into_iter()
            .for_each(|number| self.close_listener(number));
    }

    /// Stops accepting on a listener; who waits in its queue would be reset by the close, and is served before.
    fn close_listener(&self, number: usize) {
        self.begin_close(number);
        let mut rounds = 0;
        while self.accept(number) && rounds < LAST_ROUNDS {
            rounds += 1;
        }
        let place = self
            .listeners
            .borrow_mut()
            .0
            .get_mut(number)
            .map(Option::take);
        let Some(Some(listening)) = place else {
            return;
        };
        if let Some(pause) = listening.pause {
            self.timers.remove(pause);
        }
        if listening.state == State::Full {
            listening.turn_away();
        }
    }

    fn begin_close(&self, number: usize) {
        let mut listeners = self.listeners.borrow_mut();
        if let Some(listening) = listeners.get_mut(number) {
            if listening.state == State::Open {
                drop(self.epoll.remove(listening.listener.socket.as_fd()));
            }
            listening.state = State::Closing;
        }
    }

    pub(super) fn open_listener(
        &self,
        number: usize,
    ) -> Option<(Arc<Listener>, Arc<Service>, Arc<str>)> {
        let listeners = self.listeners.borrow();
        let place = listeners.0.get(number)?.as_ref();
        // What is taken from one that closes while it is held waits for the release like all else.
        let takes = |one: &&Listening| matches!(one.state, State::Open | State::Closing);
        let listening = place.filter(takes)?;
        Some((
            Arc::clone(&listening.listener),
            Arc::clone(&listening.service),
            Arc::clone(&listening.name),
        ))
    }
}
