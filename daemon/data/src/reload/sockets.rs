//! What a snapshot means for datagram sockets: queued, each for itself.

use std::rc::Rc;
use std::sync::Arc;

use crate::core::{Cause, Core};
use crate::listen::DatagramListener;
use crate::object::{Entity, Socket};
use crate::reason::Reason;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// Queues what becomes of each socket; returns those of this worker that are to be opened.
pub(super) fn apply(
    core: &Core,
    snapshot: &Snapshot,
) -> Vec<(Arc<DatagramListener>, Arc<Service>)> {
    let sockets: Vec<Rc<Socket>> = core
        .table
        .iter()
        .filter_map(|entity| match entity {
            Entity::Socket(socket) => Some(socket),
            Entity::Stream(_) | Entity::Flow(_) => None,
        })
        .collect();
    let mut open = Vec::new();
    for socket in &sockets {
        match socket.port.listener() {
            Some(listener) if socket.is_serving() => {
                let mut wanted = snapshot.sockets.iter();
                match wanted.find(|(one, _)| Arc::ptr_eq(one, listener)) {
                    Some((_, service)) => rebind(core, socket, service),
                    None => remove_port(core, socket),
                }
                open.push(Arc::clone(listener));
            }
            _ => {}
        }
    }
    for socket in &sockets {
        // Once all are bound anew.
        core.queue(socket.object.id, Cause::Place);
    }
    let is_new = |listener: &Arc<DatagramListener>| {
        listener.worker == core.number && !open.iter().any(|one| Arc::ptr_eq(one, listener))
    };
    let wanted = snapshot.sockets.iter();
    wanted
        .filter(|(listener, _)| is_new(listener))
        .cloned()
        .collect()
}

/// Ends what is to leave, and binds a dialled socket to the service as it is now.
pub(super) fn place(core: &Core, snapshot: &Snapshot, socket: &Socket) {
    if socket.port.listener().is_none() {
        place_dialled(core, snapshot, socket);
    }
    retire(core, snapshot, socket);
}

fn rebind(core: &Core, socket: &Socket, service: &Arc<Service>) {
    if socket.is_draining() || !Arc::ptr_eq(&socket.object.service(), service) {
        let cause = Cause::Rebind(Arc::clone(service));
        core.queue(socket.object.id, cause);
    }
}

/// A dialled socket stays with its instance, and ends with its service.
fn place_dialled(core: &Core, snapshot: &Snapshot, socket: &Socket) {
    let name = socket.object.service().name.clone();
    if name.is_empty() {
        // An instance dialled it: it goes with the instance.
        return;
    }
    match snapshot.services.iter().find(|one| one.name == name) {
        None => drain_in_grace(core, socket),
        Some(now) if now.instance.index() == socket.object.instance() => rebind(core, socket, now),
        Some(_) => {}
    }
}

/// A listener that is gone: what has arrived is answered, and then all bindings of its port drain.
fn remove_port(core: &Core, serving: &Socket) {
    // The one that receives comes first.
    drain_in_grace(core, serving);
    for id in serving.port.superseded() {
        if let Some(socket) = core.table.socket(id) {
            drain_in_grace(core, &socket);
        }
    }
}

/// Ends what belongs to instances that leave, and what stayed with a service that is gone.
fn retire(core: &Core, snapshot: &Snapshot, socket: &Socket) {
    let object = &socket.object;
    let service = object.service();
    if core.pause.is_fenced(&service.instance) {
        let close = Cause::Close(Reason::Drain);
        return core.queue(object.id, close);
    }
    let mut services = snapshot.services.iter();
    if socket.superseded_since.get() != 0 && !services.any(|one| one.name == service.name) {
        drain_in_grace(core, socket);
    }
    let mut leaving = snapshot.leaving.iter();
    let leaves = leaving.find(|one| one.instance == service.instance.index());
    if let Some(until) = leaves.and_then(|one| one.until) {
        drain(core, socket, core.clock.nanos_of(until));
    }
}

fn drain_in_grace(core: &Core, socket: &Socket) {
    drain(core, socket, core.deadline_in(socket.grace()));
}

fn drain(core: &Core, socket: &Socket, deadline: u64) {
    let cause = Cause::Drain(deadline);
    core.queue(socket.object.id, cause);
}
