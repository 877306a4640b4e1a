//! Shutdown inside a worker: the phase is passed to all that live here, through the worker's own table.

use std::rc::Rc;
use std::time::Instant;

use polyport_host::callbacks::Notice;
use polyport_host::status::DialFailure;

use super::Engine;
use super::stream::{Flag, Stream};
use super::table::Entity;
use crate::shut::Reason;
use polyport_common::shutdown::Phase;

impl Engine {
    pub(super) fn is_forced(&self) -> bool {
        matches!(self.phase.get(), Some(Phase::Force))
    }

    pub(super) fn enter_phase(&self, phase: Phase) {
        self.let_all_go();
        // It holds listeners, which close when the last who has them lets go.
        self.snapshot.take();
        match phase {
            Phase::Drain { .. } => {
                if self.phase.get().is_some() {
                    return;
                }
                // Listeners first: who was accepted last is drained like all others.
                self.close_listeners();
                self.phase.set(Some(phase));
                self.mailbox.notify_listeners_closed();
                self.drain_all();
            }
            Phase::Force => {
                self.close_listeners();
                self.phase.set(Some(phase));
                self.forget_drains();
                for entity in self.table.all() {
                    match entity {
                        Entity::Stream(stream) => self.force(&stream),
                        Entity::Socket(socket) => self.close_socket(&socket, Reason::Forced),
                        Entity::Flow(_) => {}
                    }
                }
            }
        }
    }

    fn drain_all(&self) {
        let deadline = self.drain_deadline();
        for entity in self.table.all() {
            match entity {
                Entity::Stream(stream) if stream.has(Flag::CONNECTING) => {
                    self.give_up_dial(&stream, DialFailure::Closing);
                }
                Entity::Stream(stream) => self.queue_drain(&stream),
                Entity::Socket(socket) => self.drain_socket(&socket, deadline),
                Entity::Flow(_) => {}
            }
        }
        self.spread_drains(deadline.saturating_sub(self.clock.now()));
    }

    /// The end of the grace period, nanoseconds of the monotonic clock.
    pub(super) fn drain_deadline(&self) -> u64 {
        match self.phase.get() {
            Some(Phase::Drain { deadline }) => self.nanos_of(deadline),
            _ => self.clock.now(),
        }
    }

    /// A time to come as nanoseconds of the monotonic clock.
    pub(super) fn nanos_of(&self, time: Instant) -> u64 {
        self.clock.nanos_of(time)
    }

    /// Tells a stream, or closes it if it is idle and its handler has nothing to say.
    pub(super) fn drain_stream(&self, stream: &Rc<Stream>) {
        // A dial that is not done drains when it is, and who is frozen ends without a word.
        if stream.has(Flag::ENDED)
            || stream.has(Flag::CONNECTING)
            || self.is_frozen(&stream.service().instance)
            || !stream.mark(Flag::DRAINING)
        {
            return;
        }
        // What the peer has sent already is still read and answered.
        if stream
            .socket
            .unread_bytes()
            .map_or(true, |unread| unread > 0)
        {
            stream.set(Flag::READABLE);
        }
        let deadline = match (stream.drain_until.get(), self.phase.get()) {
            (0, _) => self.drain_deadline(),
            (own, None) => own,
            (own, Some(_)) => own.min(self.drain_deadline()),
        };
        self.serve(stream, |stream| {
            let service = stream.service();
            let said =
                service
                    .instance
                    .notify(stream.id, stream.state.get(), Notice::Drain(deadline));
            self.told(stream, "on_drain", said);
        });
    }

    pub(super) fn force(&self, stream: &Rc<Stream>) {
        if stream.has(Flag::ENDED) {
            return self.release(stream);
        }
        if stream.has(Flag::CONNECTING) {
            return self.give_up_dial(stream, DialFailure::Closing);
        }
        self.serve(stream, |stream| stream.end(Reason::Forced, false, None));
    }
}
