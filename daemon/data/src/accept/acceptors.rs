//! The listeners of a worker.

use std::sync::Arc;
use std::time::Duration;

use polyport_sys::accept::{AcceptOutcome, accept};

use super::balance::Balance;
use super::listener::{Listening, ROOM_PAUSE, State};
use crate::core::{Accepted, Core, Work};
use crate::listen::Listener;
use crate::service::Service;

/// How long a listener rests when the system is out of descriptors or memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// Between two lines about that, nanoseconds.
const EXHAUSTED_QUIET_NANOS: u64 = 10_000_000_000;
/// Accepts when a listener closes: more than its queue holds.
const LAST_ACCEPTS: usize = 1 << 13;

/// See the module's text. A listener is known by its number; the place of one that is gone is used again.
#[derive(Debug)]
pub(crate) struct Acceptors {
    listeners: Vec<Option<Listening>>,
    balance: Balance,
    /// Until when a lack of descriptors is not logged again, nanoseconds.
    quiet_until: u64,
}

impl Acceptors {
    /// No listener, for the worker with this number.
    pub(crate) fn new(number: u8) -> Self {
        Self {
            listeners: Vec::new(),
            balance: Balance::new(number),
            quiet_until: 0,
        }
    }

    /// Listens where the snapshot has it: new listeners are watched, kept ones may get another service, and those that
    /// are gone are closed. Returns the connections that were queued at those.
    pub(crate) fn apply(
        &mut self,
        core: &Core,
        wanted: &[(Arc<Listener>, Arc<Service>)],
    ) -> Vec<Accepted> {
        let service_of = |listener: &Arc<Listener>| {
            let found = wanted.iter().find(|(one, _)| Arc::ptr_eq(one, listener));
            found.map(|(_, service)| service)
        };
        let mut accepted = Vec::new();
        for number in 0..self.listeners.len() {
            let Some(listening) = self.get_mut(number) else {
                continue;
            };
            if let Some(service) = service_of(&listening.listener) {
                listening.listener.serves(&service.name);
                listening.service = Arc::clone(service);
            } else {
                accepted.append(&mut self.close(core, number));
            }
        }
        for (listener, service) in wanted {
            if self.service_of(listener).is_none() {
                self.listen(core, listener, service);
            }
        }
        // Limits may be wider now.
        self.room(core);
        self.review(core);
        accepted
    }

    fn listen(&mut self, core: &Core, listener: &Arc<Listener>, service: &Arc<Service>) {
        listener.serves(&service.name);
        let free = self.listeners.iter().position(Option::is_none);
        let number = free.unwrap_or(self.listeners.len());
        let mut listening = Listening::new(number, Arc::clone(listener), Arc::clone(service));
        listening.watch(core);
        match self.listeners.get_mut(number) {
            Some(place) => *place = Some(listening),
            None => self.listeners.push(Some(listening)),
        }
    }

    /// Takes listeners of paused instances out of the epoll set, and watches those that were paused.
    pub(crate) fn review(&mut self, core: &Core) {
        for listening in self.listeners.iter_mut().flatten() {
            if listening.is_paused(core) != (listening.state == State::Paused) {
                listening.watch(core);
            }
        }
    }

    /// A permit has come back: listeners that wait for one are watched again.
    pub(crate) fn room(&mut self, core: &Core) {
        for listening in self.listeners.iter_mut().flatten() {
            if listening.state == State::Full {
                listening.watch(core);
            }
        }
    }

    /// The rest of a listener is over.
    pub(crate) fn listen_again(&mut self, core: &Core, number: usize) {
        if let Some(listening) = self.get_mut(number) {
            listening.watch(core);
        }
    }

    /// Is the listener open for a turn of accepts?
    pub(crate) fn begin(&mut self, number: usize) -> bool {
        self.get_mut(number).is_some_and(|listening| {
            listening.queued = false;
            listening.state == State::Open
        })
    }

    /// Lets the next turn go on with a listener.
    pub(crate) fn go_on(&mut self, core: &Core, number: usize) {
        if let Some(listening) = self.get_mut(number)
            && listening.state == State::Open
            && !std::mem::replace(&mut listening.queued, true)
        {
            core.ready.push_next(Work::Accept(number));
        }
    }

    /// Accepts the next connection that this worker serves; `None`: no more for now.
    pub(crate) fn accept(&mut self, core: &Core, number: usize) -> Option<Accepted> {
        loop {
            match self.accept_one(core, number) {
                Next::Accepted(accepted) => {
                    if let Some(accepted) = self.balance.keep(core, accepted) {
                        return Some(accepted);
                    }
                }
                Next::Again => {}
                Next::Stop => return None,
            }
        }
    }

    fn accept_one(&mut self, core: &Core, number: usize) -> Next {
        let quiet_until = self.quiet_until;
        let Some(listening) = self.get_mut(number) else {
            return Next::Stop;
        };
        // Another process has the same queue while this one stands by.
        let takes = matches!(listening.state, State::Open | State::Closing);
        if !takes || core.standby.get() {
            return Next::Stop;
        }
        let permits = &listening.service.permits;
        // Asked twice: a permit may have come back between the first answer and the note that a listener waits.
        let Some(permit) = permits.take().or_else(|| permits.take()) else {
            tracing::debug!(service = listening.service.name, "no room for more streams");
            listening.rest(core, State::Full, ROOM_PAUSE);
            return Next::Stop;
        };
        match accept(&listening.listener.socket) {
            AcceptOutcome::Stream(socket, peer) => Next::Accepted(Accepted {
                socket,
                peer,
                listener: Arc::clone(&listening.listener),
                service: Arc::clone(&listening.service),
                permit,
            }),
            AcceptOutcome::Empty => {
                core.give_back(permit);
                Next::Stop
            }
            AcceptOutcome::Again => {
                core.give_back(permit);
                Next::Again
            }
            AcceptOutcome::Exhausted(error) => {
                core.give_back(permit);
                let now = core.clock.now();
                if now >= quiet_until {
                    tracing::warn!(
                        address = listening.listener.address,
                        service = listening.service.name,
                        %error,
                        "accept pauses: raise the limit of open files, or lower limits.streams"
                    );
                }
                listening.rest(core, State::Resting, EXHAUSTED_PAUSE);
                if now >= quiet_until {
                    self.quiet_until = now.saturating_add(EXHAUSTED_QUIET_NANOS);
                }
                Next::Stop
            }
            AcceptOutcome::Broken(error) => {
                core.give_back(permit);
                // One that was closed meanwhile goes with the next snapshot.
                if !listening.listener.is_refused() {
                    tracing::error!(
                        address = listening.listener.address,
                        service = listening.service.name,
                        %error,
                        "the listener has failed and is tried again"
                    );
                }
                listening.rest(core, State::Resting, ROOM_PAUSE);
                Next::Stop
            }
        }
    }

    /// The service of a listener, while it listens here.
    pub(crate) fn service_of(&self, listener: &Arc<Listener>) -> Option<Arc<Service>> {
        let mut all = self.listeners.iter().flatten();
        let found = all.find(|one| Arc::ptr_eq(&one.listener, listener));
        found.map(|one| Arc::clone(&one.service))
    }

    /// Stops accepting on all listeners, for good. Returns the connections that were queued.
    pub(crate) fn close_all(&mut self, core: &Core) -> Vec<Accepted> {
        let numbers = 0..self.listeners.len();
        numbers
            .flat_map(|number| self.close(core, number))
            .collect()
    }

    /// Stops accepting on a listener. The close would reset the connections in its queue, so they are accepted before.
    fn close(&mut self, core: &Core, number: usize) -> Vec<Accepted> {
        if let Some(listening) = self.get_mut(number) {
            listening.begin_close(core);
        }
        let accepted = (0..LAST_ACCEPTS).map_while(|_| self.accept(core, number));
        let accepted = accepted.collect();
        let place = self.listeners.get_mut(number).and_then(Option::take);
        if let Some(listening) = place {
            listening.end_close(core);
        }
        accepted
    }

    fn get_mut(&mut self, number: usize) -> Option<&mut Listening> {
        self.listeners.get_mut(number)?.as_mut()
    }
}

/// What an accept came to.
enum Next {
    Accepted(Accepted),
    /// The connection is gone already.
    Again,
    Stop,
}
