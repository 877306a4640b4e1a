//! How datagram sockets and flows take leave: what has arrived is shown, who has a goodbye says it, and by a deadline
//! all is over.

use std::rc::Rc;
use std::time::Duration;

use super::Engine;
use super::flow::Flow;
use super::socket::Socket;
use super::table::Entity;
use crate::shut::Reason;
use crate::worker::Due;
use polyport_common::shutdown::Phase;
use polyport_host::callbacks::Notice;

/// Receives of a socket that drains: more than its buffer holds.
const LAST_RECEIVES: usize = 256;

impl Engine {
    /// Lets a socket and its flows take leave until then, nanoseconds of the monotonic clock. An earlier deadline than
    /// that of a drain which has begun hastens it.
    pub(super) fn drain_socket(&self, socket: &Rc<Socket>, deadline: u64) {
        if socket.ended.get() {
            return;
        }
        match socket.drain_until.get() {
            0 => {}
            until if until <= deadline => return,
            _ => return self.end_socket_by(socket, deadline),
        }
        if self.aside_due(Due::Parting(socket.id)) {
            let wanted = socket.drain_wanted.get();
            let until = if wanted == 0 {
                deadline
            } else {
                wanted.min(deadline)
            };
            socket.drain_wanted.set(until.max(1));
            return;
        }
        // What has arrived already is still answered.
        if socket.is_serving() {
            self.receive_rest(socket);
        } else if !socket.flows.borrow().is_empty()
            && let Some(serving) = self.serving_face(&socket.socket)
        {
            self.receive_rest(&serving);
        }
        self.end_socket_by(socket, deadline);
        let (socket_drains, _) = socket.service().instance.drains_datagrams();
        if socket_drains && socket.hears() {
            let said = socket.service().instance.notify(
                socket.id,
                socket.state.get(),
                Notice::Drain(deadline),
            );
            self.socket_told(socket, "on_drain", said);
        }
        let flows = socket.flows.borrow().ids();
        for id in flows {
            if let Some(Entity::Flow(flow)) = self.table.get(id) {
                self.drain_flow(&flow, deadline);
            }
        }
        self.drained(socket);
    }

    fn receive_rest(&self, serving: &Rc<Socket>) {
        for _ in 0..LAST_RECEIVES {
            serving.again.set(false);
            self.receive(serving);
            if !serving.again.get() {
                break;
            }
        }
    }

    /// Sets the end of a socket's drain. At a shutdown the daemon's own is enough.
    fn end_socket_by(&self, socket: &Socket, deadline: u64) {
        socket.drain_until.set(deadline.max(1));
        if self.phase.get().is_none() {
            let left = deadline.saturating_sub(self.clock.now());
            self.timers
                .add(Due::Parting(socket.id), Duration::from_nanos(left));
        }
    }

    /// The deadline of a drain has passed, or the time of a replaced face to wait for what it dialled.
    pub(super) fn socket_parting(&self, socket: &Rc<Socket>) {
        match socket.drain_wanted.replace(0) {
            0 => {}
            until => return self.drain_socket(socket, until),
        }
        match socket.drain_until.get() {
            0 => self.part(socket),
            // The queue counts in milliseconds.
            until if until > self.clock.now() => self.end_socket_by(socket, until),
            _ => self.close_socket(socket, Reason::Forced),
        }
    }

    /// Tells a flow, if its handler says goodbye to flows.
    pub(super) fn drain_flow(&self, flow: &Rc<Flow>, deadline: u64) {
        let service = flow.service();
        let instance = &service.instance;
        if instance.drains_datagrams().1 && flow.hears() {
            let said = instance.notify(flow.id, flow.state.get(), Notice::Drain(deadline));
            self.flow_told(flow, "on_drain", said);
        }
    }

    /// Closes a draining socket once nobody holds it any more: no goodbye of its own, no flow that says one.
    pub(super) fn drained(&self, socket: &Rc<Socket>) {
        if !socket.is_draining() || socket.ended.get() {
            return;
        }
        if socket.is_serving() && socket.socket.has_earlier() {
            // What comes for the flows of others comes through it.
            return;
        }
        let (socket_drains, flows_drain) = socket.service().instance.drains_datagrams();
        let flows_left = flows_drain && !socket.flows.borrow().is_empty();
        if !socket_drains && !flows_left {
            self.close_socket(socket, Reason::Drain);
        }
    }

    /// A socket has been opened while the daemon ends.
    pub(super) fn opened_late(&self, socket: &Rc<Socket>, phase: Phase) {
        match phase {
            Phase::Drain { .. } => self.drain_socket(socket, self.drain_deadline()),
            Phase::Force => self.close_socket(socket, Reason::Forced),
        }
    }
}
