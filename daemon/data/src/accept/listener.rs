//! A listener as one worker sees it.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use polyport_sys::accept::{AcceptOutcome, accept};
use polyport_sys::epoll::Interest;

use crate::core::{Core, Work};
use crate::listen::{Listener, Origin};
use crate::service::Service;
use crate::time::TimerKey;

/// Tokens of listeners in the epoll set: this and their number. Ids have a kind in their highest bits, and 14 is none.
pub(crate) const LISTENER: u64 = 0xe << 60;
/// More than a listener's queue holds.
const QUEUE_MAX: usize = 1 << 16;
/// How long a listener waits for a permit at most, should the notice that there is one be lost.
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) number: usize,
    pub(super) listener: Arc<Listener>,
    pub(super) service: Arc<Service>,
    pub(super) state: State,
    /// Ends its rest.
    pause: Option<TimerKey>,
    /// The next turn goes on with it.
    pub(super) queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// Out of the epoll set until a timer.
    Resting,
    /// Out of the epoll set until there is a permit.
    Full,
    /// Out of the epoll set until its instance is resumed, or this process accepts again.
    Paused,
    /// Out of the epoll set for good; connections in its queue are served.
    Closing,
}

impl Listening {
    /// Not watched yet.
    pub(super) fn new(number: usize, listener: Arc<Listener>, service: Arc<Service>) -> Self {
        Self {
            number,
            listener,
            service,
            state: State::Resting,
            pause: None,
            queued: false,
        }
    }

    /// Do connections wait in the kernel for now?
    pub(super) fn is_paused(&self, core: &Core) -> bool {
        core.standby.get() || core.pause.is_paused(self.service.instance.index())
    }

    /// Watches the listener (again), unless it is paused.
    pub(super) fn watch(&mut self, core: &Core) {
        if let Some(pause) = self.pause.take() {
            core.cancel(pause);
        }
        let is_paused = self.is_paused(core);
        if self.state == State::Open {
            if !is_paused {
                return;
            }
            core.unwatch(&self.listener.socket);
        }
        if is_paused {
            self.state = State::Paused;
            return;
        }
        let (fd, token) = (self.listener.socket.as_fd(), LISTENER | self.number as u64);
        match core.epoll.add(fd, token, Interest::LISTENER) {
            Ok(()) => self.state = State::Open,
            Err(error) => {
                tracing::error!(
                    address = self.listener.address,
                    service = self.service.name,
                    %error,
                    "the listener cannot be watched; it is tried again"
                );
                self.state = State::Resting;
                self.pause = Some(core.after(ROOM_PAUSE, Work::Listen(self.number)));
            }
        }
    }

    /// Watches the listener no longer, for `pause`.
    pub(super) fn rest(&mut self, core: &Core, state: State, pause: Duration) {
        if self.state == State::Open {
            core.unwatch(&self.listener.socket);
        }
        self.state = state;
        let pause = core.after(pause, Work::Listen(self.number));
        if let Some(before) = self.pause.replace(pause) {
            core.cancel(before);
        }
    }

    /// Watches the listener no longer, for good.
    pub(super) fn begin_close(&mut self, core: &Core) {
        if self.state == State::Open {
            core.unwatch(&self.listener.socket);
        }
        self.state = State::Closing;
    }

    /// Lets go of the listener.
    pub(super) fn end_close(self, core: &Core) {
        if let Some(pause) = self.pause {
            core.cancel(pause);
        }
        if self.state == State::Full {
            self.turn_away();
        }
    }

    /// At the stream limit, accepts and closes what is queued before the listener closes, and logs how many. Inherited
    /// sockets are left alone: their queue belongs to the next owner.
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
