//! The life of a datagram socket: open, reopen after a panic, close.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use polyport_common::shutdown::Phase;
use polyport_host::callbacks::{Info, Notice};
use polyport_host::host_api::DialTarget;
use polyport_host::id::Kind;
use polyport_host::status::{CallbackError, HostError};
use polyport_sys::PeerAddress;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::epoll::Interest;

use super::drain;
use crate::callback::{log_fault, notify};
use crate::core::dial::{fail, failure, refused, unix};
use crate::core::{Cause, Core, PendingDial};
use crate::listen::{DatagramListener, Origin, OwnSocket};
use crate::object::{Entity, Flag, Object, Port, PortOwner, Socket};
use crate::reason::Reason;
use crate::service::Service;

/// Serves a socket of the configuration.
pub(super) fn open_listener(core: &Core, listener: &Arc<DatagramListener>, service: &Arc<Service>) {
    let port = Port::new(PortOwner::Listener(Arc::clone(listener)));
    let name = Arc::from(listener.address.as_str());
    let entered = core.new_id(Kind::Socket, service).and_then(|id| {
        let object = Object::new(id, Arc::clone(service), name, None, None);
        enter(core, Socket::new(object, port, None))
    });
    match entered {
        Ok(socket) => open(core, &socket),
        Err(_) => tracing::error!(
            address = listener.address,
            "the socket cannot be served: no room in the worker's table"
        ),
    }
}

/// Opens a socket for a handler that dialled.
pub(super) fn dial(core: &Core, pending: PendingDial) {
    let PendingDial {
        service,
        group,
        dialled,
        dial,
        permit,
    } = pending;
    let (remote, opened) = match &dial.target {
        DialTarget::Datagram(to) => (PeerAddress::Ip(*to), DatagramSocket::connect_udp(*to)),
        DialTarget::Unixgram(path) => (unix(path), DatagramSocket::connect_unixgram(path)),
        DialTarget::Stream(_) | DialTarget::Unix(_) => return,
    };
    let opened = opened.map_err(|error| failure(&error));
    let opened = opened.and_then(|socket| {
        let id = core.new_id(Kind::Socket, &service).map_err(refused)?;
        Ok((socket, id))
    });
    let (socket, id) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            core.give_back(permit);
            return fail(core, service, group, dialled, why);
        }
    };
    let port = Port::new(PortOwner::Dialled(OwnSocket::new(socket, Origin::Bound)));
    let again = Arc::clone(&service);
    let object = Object::new(id, service, Arc::from(""), Some(dialled), Some(permit));
    let socket = Socket::new(object, port, Some(remote));
    if let Some(group) = &group {
        group.join(id);
        group.end_dial();
        socket.object.group.replace(Some(Rc::clone(group)));
    }
    match enter(core, socket) {
        Ok(socket) => core.queue(socket.object.id, Cause::Open),
        Err(refuse) => {
            crate::core::dial::fail_late(core, again, dialled, refused(refuse));
        }
    }
}

/// Puts the first socket of a port into table and epoll set.
fn enter(core: &Core, socket: Socket) -> Result<Rc<Socket>, HostError> {
    let socket = Rc::new(socket);
    core.insert(Entity::Socket(Rc::clone(&socket)));
    let (fd, token) = (socket.port.as_fd(), socket.object.id.raw());
    if core.epoll.add(fd, token, Interest::DATAGRAM).is_err() {
        core.remove(&socket.object);
        return Err(HostError::Full);
    }
    socket.port.open(socket.object.id);
    Ok(socket)
}

/// Opens a socket: calls `socket_open`, then receives what is there.
pub(super) fn open(core: &Core, socket: &Rc<Socket>) {
    let object = &socket.object;
    if call_open(socket).is_err() {
        for id in socket.port.superseded() {
            core.queue(id, Cause::Close(Reason::Drain));
        }
        return release(core, socket);
    }
    match core.phase.get() {
        None => {
            core.queue(object.id, Cause::Receive);
            if object.dialled.is_some() {
                core.queue(object.id, Cause::Place);
            }
        }
        Some(Phase::Drain { .. }) => {
            let deadline = core.drain_deadline();
            core.queue(object.id, Cause::Drain(deadline));
        }
        Some(Phase::Force) => core.queue(object.id, Cause::Close(Reason::Forced)),
    }
}

/// Calls `socket_open`.
pub(super) fn call_open(socket: &Socket) -> Result<(), CallbackError> {
    let object = &socket.object;
    let service = object.service();
    let info = Info::Socket(socket.info(&service.name));
    let state = service
        .instance
        .open(object.id, &info)
        .inspect_err(|error| {
            tracing::error!(
                address = %object.listener,
                service = service.name,
                plugin = service.instance.name().plugin,
                reason = %error,
                "the handler refuses the socket"
            );
        })?;
    object.state.set(state);
    object.clear(Flag::ENDED.or(Flag::SUPPRESSED));
    Ok(())
}

/// The kernel's socket has room: each of its bindings may wait for it.
pub(super) fn port_writable(core: &Core, serving: &Rc<Socket>) {
    for id in serving.port.superseded() {
        core.queue(id, Cause::Writable);
    }
    notify_writable(core, serving);
}

pub(super) fn notify_writable(core: &Core, socket: &Socket) {
    if socket.object.is_callable() && socket.object.take(Flag::WRITABLE_OWED) {
        notify(core, &socket.object, Notice::Writable);
    }
}

/// A callback panicked, so the handler's state of the socket is not used again: a dialled socket ends, one of a listener
/// is opened anew.
pub(super) fn renew(core: &Core, socket: &Rc<Socket>) {
    let object = &socket.object;
    if object.has(Flag::ENDED) {
        return;
    }
    if object.dialled.is_some() || socket.is_draining() || !socket.is_serving() {
        return close(core, socket, Reason::PluginFault);
    }
    if socket.flows.borrow().is_empty() {
        notify_closed(core, socket, Reason::PluginFault);
        open(core, socket);
    } else {
        socket.renewing.set(true);
        close_flows(core, socket, Reason::PluginFault);
    }
}

/// Ends a socket: first its flows and the superseded sockets of its port, then, when the last of them has gone, itself.
pub(super) fn close(core: &Core, socket: &Rc<Socket>, reason: Reason) {
    let object = &socket.object;
    if socket.closing.get().is_some() {
        // Another socket may serve the port by now.
        return settle(core, socket);
    }
    if object.has(Flag::ENDED) {
        // The handler does not know it yet: it opens, and then ends; but with a fenced instance it opens no more.
        if core.pause.is_fenced(&object.service().instance) {
            release(core, socket);
        }
        return;
    }
    socket.closing.set(Some(reason));
    object.set(Flag::SUPPRESSED);
    if socket.is_serving() {
        for id in socket.port.superseded() {
            core.queue(id, Cause::Close(reason));
        }
    }
    close_flows(core, socket, reason);
    settle(core, socket);
}

fn close_flows(core: &Core, socket: &Socket, reason: Reason) {
    for id in socket.flows.borrow().ids() {
        core.queue(id, Cause::Close(reason));
    }
}

/// A flow, a superseded socket, or a member of the group has gone: goes on with a close, a renewal or a drain.
pub(super) fn settle(core: &Core, socket: &Rc<Socket>) {
    let object = &socket.object;
    if object.has(Flag::ENDED) {
        return;
    }
    if let Some(reason) = socket.closing.get() {
        let is_alone = !(socket.is_serving() && socket.port.has_superseded());
        if socket.flows.borrow().is_empty() && is_alone {
            notify_closed(core, socket, reason);
            release(core, socket);
        }
    } else if socket.renewing.get() {
        if socket.flows.borrow().is_empty() {
            socket.renewing.set(false);
            renew(core, socket);
        }
    } else if socket.is_draining() {
        drain::close_if_drained(core, socket);
    } else {
        drain::drain_if_unused(core, socket);
    }
}

/// The last callback about a socket.
fn notify_closed(core: &Core, socket: &Socket, reason: Reason) {
    let object = &socket.object;
    object.set(Flag::ENDED);
    core.cancel_timers(object);
    let service = object.service();
    let notice = Notice::Closed(reason.code());
    if let Err(error) = service
        .instance
        .notify(object.id, object.state.get(), notice)
    {
        log_fault(&service, object.id, "socket_closed", error);
    }
}

/// Takes a socket out of the table, and closes its port when no other binding is left.
pub(super) fn release(core: &Core, socket: &Rc<Socket>) {
    let object = &socket.object;
    core.remove(object);
    let port = &socket.port;
    if !socket.is_serving() {
        port.forget(object.id);
        core.queue(port.serving(), Cause::Settle);
        return;
    }
    core.unwatch(&port.as_fd());
    let Some(listener) = port.listener() else {
        return;
    };
    listener.socket.remove_file();
    tracing::info!(
        service = object.service().name,
        address = %object.listener,
        truncated = port.truncated.get(),
        dropped_by_kernel = listener.dropped_by_kernel.load(Ordering::Relaxed),
        "listener closed"
    );
}
