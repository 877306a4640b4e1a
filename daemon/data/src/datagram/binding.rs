//! Another service on a port: same code, other code, or code that comes back. The flows move that can.

use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::Kind;
use polyport_host::status::{CallbackError, HostError};
use polyport_host::transfer::{TransferMode, flow_transfer};
use polyport_sys::epoll::Interest;

use super::{flow, flow_at, socket};
use crate::callback::{NotMoved, rebind_flow, transfer_flow};
use crate::core::{Cause, Core, Work};
use crate::object::{Entity, Flag, Flow, Object, Socket, flows_max};
use crate::reason::Reason;
use crate::service::Service;

/// Lets a service answer on the port of a socket that serves it, or renews the service of a dialled socket.
pub(super) fn rebind(core: &Core, socket: &Rc<Socket>, service: &Arc<Service>) {
    let same_code = socket.object.instance() == service.instance.index();
    // One that drains was removed a moment ago.
    if same_code && !socket.is_draining() {
        renew_service(core, socket, service);
    } else {
        supersede(core, socket, service);
    }
}

/// Other timeouts and names, the same code.
fn renew_service(core: &Core, socket: &Rc<Socket>, service: &Arc<Service>) {
    socket.object.rebind(service);
    for id in socket.flows.borrow().ids() {
        if let Some(flow) = core.table.flow(id) {
            flow.object.rebind(service);
            flow::arm(core, &flow);
        }
    }
}

/// Lets a socket of another instance serve the port.
fn supersede(core: &Core, before: &Rc<Socket>, service: &Arc<Service>) {
    let is_exclusive = before.object.service().instance.is_exclusive();
    let next = match returning(core, before, service) {
        Some(socket) => {
            renew_service(core, &socket, service);
            socket.superseded_since.set(0);
            socket.port.forget(socket.object.id);
            Ok(socket)
        }
        None => open(core, before, service),
    };
    let Ok(next) = next.and_then(|next| serve(core, next)) else {
        tracing::error!(
            address = %before.object.listener,
            service = service.name,
            stays = !is_exclusive,
            "the new code does not take the socket"
        );
        if is_exclusive {
            core.queue(before.object.id, Cause::Close(Reason::Drain));
        }
        return;
    };
    before.superseded_since.set(core.clock.now().max(1));
    move_flows(core, before, &next);
    let id = before.object.id;
    if is_exclusive {
        // Its state may live in one place only.
        before.object.set(Flag::SUPERSEDED);
        for id in before.flows.borrow().ids() {
            if let Some(flow) = core.table.flow(id) {
                flow.object.set(Flag::SUPERSEDED);
                // Before the new code gets datagrams of their peers.
                core.queue(id, Cause::Close(Reason::Drain));
            }
        }
        core.queue(id, Cause::Close(Reason::Drain));
    } else {
        core.after(before.grace(), Work::Object(id, Cause::Grace));
        core.queue(id, Cause::Settle);
    }
    core.queue(next.object.id, Cause::Receive);
}

/// A superseded socket of the service's instance, which serves again when a reload is rolled back.
fn returning(core: &Core, serving: &Socket, service: &Service) -> Option<Rc<Socket>> {
    let index = service.instance.index();
    let fits = |socket: &Rc<Socket>| {
        let object = &socket.object;
        object.is_callable() && !socket.is_draining() && object.instance() == index
    };
    serving
        .port
        .find_superseded(|id| core.table.socket(*id).filter(fits))
}

/// A socket that its handler has opened, and that gets no datagrams yet.
fn open(core: &Core, before: &Socket, service: &Arc<Service>) -> Result<Rc<Socket>, HostError> {
    let id = core.new_id(Kind::Socket, service)?;
    let listener = Arc::clone(&before.object.listener);
    let object = Object::new(id, Arc::clone(service), listener, None, None);
    let socket = Rc::new(Socket::new(object, Rc::clone(&before.port), None));
    core.insert(Entity::Socket(Rc::clone(&socket)));
    if socket::call_open(&socket).is_err() {
        core.remove(&socket.object);
        return Err(HostError::Denied);
    }
    Ok(socket)
}

/// Lets the datagrams of the port come to a socket.
fn serve(core: &Core, socket: Rc<Socket>) -> Result<Rc<Socket>, HostError> {
    let (fd, token) = (socket.port.as_fd(), socket.object.id.raw());
    if core.epoll.modify(fd, token, Interest::DATAGRAM).is_err() {
        core.queue(socket.object.id, Cause::Close(Reason::Host));
        return Err(HostError::Full);
    }
    socket.port.supersede(socket.object.id);
    Ok(socket)
}

/// What became of the flows of a socket.
#[derive(Debug, Default)]
struct Tally {
    migrated: usize,
    stayed: usize,
    ended: usize,
    /// How many could not be exported or imported, and why the first could not.
    failed: Option<(usize, CallbackError)>,
}

/// Moves the flows that can.
fn move_flows(core: &Core, from: &Rc<Socket>, to: &Rc<Socket>) {
    let flows = from.flows.borrow().by_last_check();
    if flows.is_empty() {
        return;
    }
    let (old, new) = (from.object.service(), to.object.service());
    let carry = flow_transfer(&old.instance, &new.instance);
    let mut tally = Tally::default();
    for id in flows {
        let Some(flow) = flow_at(core, from, id) else {
            continue;
        };
        match move_flow(core, &flow, from, to, carry) {
            Ok(()) => {
                to.flows.borrow_mut().checked(id, flow.last_io.get());
                flow::arm(core, &flow);
                tally.migrated += 1;
            }
            Err(NotMoved::Unable) => tally.stayed += 1,
            Err(NotMoved::Failed(_, error)) => {
                tally.stayed += 1;
                tally.failed.get_or_insert((0, error)).0 += 1;
            }
            Err(NotMoved::Ended) => {
                flow.object.set(Flag::SUPPRESSED);
                core.queue(id, Cause::Close(Reason::PluginFault));
                tally.ended += 1;
            }
        }
    }
    from.flows.borrow_mut().sweep();
    log_moved(&tally, from, to);
}

fn move_flow(
    core: &Core,
    flow: &Flow,
    from: &Rc<Socket>,
    to: &Rc<Socket>,
    carry: TransferMode,
) -> Result<(), NotMoved> {
    // A flow that has dialled would miss the answer.
    let is_free = flow.object.is_callable() && flow.object.dials.get() == 0;
    let has_room = flows_max(to).is_some_and(|max| to.flows.borrow().len() < max);
    match carry {
        TransferMode::Stateless if is_free && has_room => {
            rebind_flow(core, flow, to);
            Ok(())
        }
        TransferMode::State if is_free && has_room => transfer_flow(core, flow, from, to),
        _ => Err(NotMoved::Unable),
    }
}

fn log_moved(tally: &Tally, from: &Socket, to: &Socket) {
    let service = to.object.service();
    let name = service.instance.name();
    if let Some((failed, reason)) = &tally.failed {
        tracing::warn!(
            service = service.name,
            address = %to.object.listener,
            plugin = name.plugin,
            generation = name.generation,
            failed,
            %reason,
            "flows could not move to the new code and stay with the old"
        );
    }
    tracing::info!(
        service = service.name,
        address = %to.object.listener,
        from = from.object.service().instance.name().generation,
        to = name.generation,
        migrated = tally.migrated,
        stayed = tally.stayed,
        ended = tally.ended,
        "flows moved"
    );
}
