//! The drain of datagram sockets and flows: what has arrived is delivered, handlers that say goodbye are notified, and by
//! a deadline everything ends.

use std::rc::Rc;
use std::time::Duration;

use polyport_host::callbacks::Notice;

use super::{Datagrams, socket};
use crate::callback::notify;
use crate::core::{Cause, Core, Work};
use crate::object::{Flag, Socket};
use crate::reason::Reason;

/// Receives of a socket that drains: more than its buffer holds.
const LAST_RECEIVES: usize = 256;

impl Datagrams {
    /// Lets a socket and its flows drain until `deadline`, nanoseconds. An earlier deadline than that of a drain which has
    /// begun hastens it.
    pub(super) fn drain(&mut self, core: &Core, socket: &Rc<Socket>, deadline: u64) {
        let object = &socket.object;
        if object.has(Flag::ENDED) || socket.closing.get().is_some() {
            return;
        }
        match object.drain_until.get() {
            0 => {}
            until if until <= deadline => return,
            _ => return end_by(core, socket, deadline),
        }
        // What has arrived already is still answered.
        if socket.is_serving() {
            self.receive_rest(core, socket);
        } else if !socket.flows.borrow().is_empty()
            && let Some(serving) = core.table.socket(socket.port.serving())
        {
            self.receive_rest(core, &serving);
        }
        end_by(core, socket, deadline);
        let (socket_drains, _) = object.service().instance.handler().drains_datagrams();
        if socket_drains {
            notify(core, &socket.object, Notice::Drain(deadline));
        }
        for id in socket.flows.borrow().ids() {
            core.queue(id, Cause::Drain(deadline));
        }
        core.queue(object.id, Cause::Settle);
    }

    fn receive_rest(&mut self, core: &Core, serving: &Rc<Socket>) {
        for _ in 0..LAST_RECEIVES {
            if self.receive_once(core, serving) {
                break;
            }
        }
    }

    /// The deadline of a drain has passed, or the time of a superseded socket to wait for what it dialled.
    pub(super) fn grace_over(&mut self, core: &Core, socket: &Rc<Socket>) {
        match socket.object.drain_until.get() {
            0 => drain_if_unused(core, socket),
            // Timers count in milliseconds.
            until if until > core.clock.now() => end_by(core, socket, until),
            _ => socket::close(core, socket, Reason::Forced),
        }
    }
}

/// Sets the end of a socket's drain. At a shutdown the daemon's own is enough.
fn end_by(core: &Core, socket: &Socket, deadline: u64) {
    let object = &socket.object;
    object.drain_until.set(deadline.max(1));
    if core.phase.get().is_none() {
        let left = deadline.saturating_sub(core.clock.now());
        core.after(
            Duration::from_nanos(left),
            Work::Object(object.id, Cause::Grace),
        );
    }
}

/// Closes a draining socket when nothing holds it any more: no goodbye of its own, no flow that says one, no superseded
/// socket whose flows get their datagrams through it.
pub(super) fn close_if_drained(core: &Core, socket: &Rc<Socket>) {
    if socket.is_serving() && socket.port.has_superseded() {
        return;
    }
    let (socket_drains, flows_drain) = socket
        .object
        .service()
        .instance
        .handler()
        .drains_datagrams();
    let flows_left = flows_drain && !socket.flows.borrow().is_empty();
    if !socket_drains && !flows_left {
        core.queue(socket.object.id, Cause::Close(Reason::Drain));
    }
}

/// Drains a superseded socket when nothing holds it any more: flows hold it as long as they live, and what it dialled for
/// its grace, so that answers on their way reach their dialler.
pub(super) fn drain_if_unused(core: &Core, socket: &Rc<Socket>) {
    let object = &socket.object;
    let since = socket.superseded_since.get();
    let is_over = socket.is_draining() || object.has(Flag::ENDED);
    if since == 0 || is_over || !socket.flows.borrow().is_empty() {
        return;
    }
    let group = object.group.borrow();
    let is_alone = group.as_ref().is_none_or(|group| group.is_root_alone());
    let waited = Duration::from_nanos(core.clock.now().saturating_sub(since));
    if is_alone || waited >= socket.grace() {
        let deadline = core.deadline_in(socket.grace());
        core.queue(object.id, Cause::Drain(deadline));
    }
}
