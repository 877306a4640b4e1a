//! Datagram sockets and flows: receive, deliver, open, drain, close.
//!
//! Several generations can share one port. New peers go to the newest. A peer that has a flow with an older generation
//! stays there until the flow ends.

mod binding;
mod drain;
mod flow;
mod receive;
mod socket;

use std::rc::Rc;
use std::sync::Arc;

use polyport_host::callbacks::Notice;
use polyport_host::datagram::BatchBuffer;
use polyport_host::id::Id;
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::ReceiveArena;
use polyport_sys::epoll::Event;

use crate::callback::{check, notify};
use crate::core::{Cause, Core, FailedDial, PendingDial};
use crate::listen::DatagramListener;
use crate::object::{Flag, Flow, Socket, address};
use crate::service::Service;

/// The sockets and flows of a worker. All that is kept of them stands in the table; this room has the buffers that they
/// share.
#[derive(Debug, Default)]
pub(crate) struct Datagrams {
    arena: Option<ReceiveArena>,
    batch: BatchBuffer,
}

impl Datagrams {
    /// Serves a socket of the configuration.
    pub(crate) fn open(
        &mut self,
        core: &Core,
        listener: &Arc<DatagramListener>,
        service: &Arc<Service>,
    ) {
        socket::open_listener(core, listener, service);
    }

    /// Opens a socket for a handler that dialled.
    pub(crate) fn dial(&mut self, core: &Core, pending: PendingDial) {
        socket::dial(core, pending);
    }

    /// Does what a cause asks of a socket.
    pub(crate) fn on_socket(&mut self, core: &Core, id: Id, cause: Cause) {
        let Some(socket) = core.table.socket(id) else {
            return;
        };
        match cause {
            Cause::Ready(event) => self.on_ready(core, &socket, event),
            Cause::Resumed => {
                socket.object.clear(Flag::DEFERRED);
                socket::port_writable(core, &socket);
                self.receive(core, &socket);
            }
            Cause::More => {
                socket.object.clear(Flag::QUEUED);
                self.receive(core, &socket);
            }
            Cause::Receive => self.receive(core, &socket),
            Cause::Wake(bits) => notify(core, &socket.object, Notice::Wake(bits)),
            Cause::Timer(key, setting) if core.timer_fired(&socket.object, key, setting) => {
                notify(core, &socket.object, Notice::Timer(key));
            }
            Cause::Timeout | Cause::Writable => socket::notify_writable(core, &socket),
            Cause::SendError(failed) => notify_send_error(core, &socket, &failed.0, failed.1),
            Cause::Open => socket::open(core, &socket),
            Cause::Renew => socket::renew(core, &socket),
            Cause::Rebind(service) => binding::rebind(core, &socket, &service),
            Cause::Drain(deadline) => self.drain(core, &socket, deadline),
            Cause::Grace => self.grace_over(core, &socket),
            Cause::Settle => socket::settle(core, &socket),
            Cause::Close(reason) => socket::close(core, &socket, reason),
            _ => {}
        }
    }

    /// Does what a cause asks of a flow.
    pub(crate) fn on_flow(&mut self, core: &Core, id: Id, cause: Cause) {
        let Some(flow) = core.table.flow(id) else {
            return;
        };
        match cause {
            Cause::Resumed => {
                flow.object.clear(Flag::DEFERRED);
                self.deliver_kept(core, &flow);
            }
            Cause::Wake(bits) => notify(core, &flow.object, Notice::Wake(bits)),
            Cause::Timer(key, setting) if core.timer_fired(&flow.object, key, setting) => {
                notify(core, &flow.object, Notice::Timer(key));
            }
            Cause::Timeout => flow::on_timeout(core, &flow),
            Cause::Drain(deadline) => flow::drain(core, &flow, deadline),
            Cause::Close(reason) => flow::close(core, &flow, reason),
            _ => {}
        }
    }

    fn on_ready(&mut self, core: &Core, socket: &Rc<Socket>, event: Event) {
        if event.writable {
            socket::port_writable(core, socket);
        }
        if event.readable || event.error {
            self.receive(core, socket);
        }
    }
}

/// Notifies a socket or flow that a dial of its own failed.
pub(crate) fn dial_failed(core: &Core, failed: &FailedDial) {
    let FailedDial { dialled, why, .. } = *failed;
    let notice = Notice::DialFailed {
        tag: dialled.tag,
        why,
    };
    if let Some(socket) = core.table.socket(dialled.parent) {
        notify(core, &socket.object, notice);
    } else if let Some(flow) = core.table.flow(dialled.parent) {
        notify(core, &flow.object, notice);
    }
}

fn notify_send_error(core: &Core, socket: &Socket, to: &PeerAddress, errno: i32) {
    let object = &socket.object;
    if object.is_callable() {
        let service = object.service();
        let result = service
            .instance
            .send_error(object.id, object.state.get(), address(to), errno);
        check(core, &socket.object, "on_send_error", result);
    }
}

/// Is it a flow that still is of this socket?
fn flow_at(core: &Core, socket: &Rc<Socket>, id: Id) -> Option<Rc<Flow>> {
    let flow = core.table.flow(id)?;
    let is_its = Rc::ptr_eq(&flow.socket(), socket);
    is_its.then_some(flow)
}
