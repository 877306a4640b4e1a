//! The life of a flow: open, evict, time out, close.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::callbacks::{Info, Notice};
use polyport_host::datagram::Batch;
use polyport_host::id::Kind;

use super::flow_at;
use crate::callback::{check, log_fault, notify};
use crate::core::{Cause, Core, Work};
use crate::object::{Entity, Flag, Flow, Object, Sender, Socket, flows_max};
use crate::reason::Reason;

/// How many of the oldest are checked for one that was idle long.
const CHECKS: usize = 64;

/// The flow of a peer, opened if there is none; `None` if the handler refuses it.
pub(super) fn flow_of(core: &Core, socket: &Rc<Socket>, sender: Sender) -> Option<Rc<Flow>> {
    let known = socket.flows.borrow().of(&sender);
    if let Some(flow) = known.and_then(|id| core.table.flow(id)) {
        return Some(flow);
    }
    if socket.flows.borrow().len() >= flows_max(socket)? {
        evict(core, socket);
    }
    open(core, socket, sender)
}

fn open(core: &Core, socket: &Rc<Socket>, sender: Sender) -> Option<Rc<Flow>> {
    let service = Arc::clone(&socket.object.service());
    let id = core.new_id(Kind::Flow, &service).ok()?;
    let listener = Arc::clone(&socket.object.listener);
    let object = Object::new(id, Arc::clone(&service), listener, None, None);
    let now = core.clock.now();
    let flow = Rc::new(Flow::new(object, socket, sender, now));
    core.insert(Entity::Flow(Rc::clone(&flow)));
    {
        let mut flows = socket.flows.borrow_mut();
        flows.insert(&flow);
        flows.checked(id, now);
    }
    match service.instance.open(id, &Info::Flow(flow.info())) {
        Ok(state) => {
            flow.object.state.set(state);
            arm(core, &flow);
            if socket.is_draining() {
                core.queue(id, Cause::Drain(socket.object.drain_until.get()));
            }
            Some(flow)
        }
        Err(error) => {
            tracing::debug!(flow = %id, reason = %error, "the handler refuses the flow");
            release(core, &flow);
            None
        }
    }
}

/// Ends the flow that was idle longest, among some of the oldest.
fn evict(core: &Core, socket: &Rc<Socket>) {
    for check in 0..=CHECKS {
        let oldest = socket.flows.borrow_mut().pop_oldest();
        let Some((id, used)) = oldest else { return };
        let Some(flow) = flow_at(core, socket, id) else {
            continue;
        };
        if flow.last_io.get() > used && check < CHECKS {
            socket.flows.borrow_mut().checked(id, flow.last_io.get());
            continue;
        }
        // At once: its peer may be the next that a flow opens for.
        return close(core, &flow, Reason::Idle);
    }
}

/// Delivers a run of datagrams of one peer.
pub(super) fn deliver(core: &Core, flow: &Flow, run: Batch<'_>) {
    let object = &flow.object;
    if object.is_callable() {
        flow.last_io.set(core.clock.now());
        let service = object.service();
        let result = service
            .instance
            .datagrams(object.id, object.state.get(), run);
        check(core, &flow.object, "on_datagrams", result);
    }
}

/// Sees to it that the flow gets a [`Cause::Timeout`] when its idle timeout could be due.
pub(super) fn arm(core: &Core, flow: &Flow) {
    core.disarm(&flow.object);
    if let Some(idle) = flow.idle_timeout() {
        let after = idle.saturating_sub(idle_for(core, flow));
        let key = core.after(after, Work::Object(flow.object.id, Cause::Timeout));
        flow.object.timeout.set(Some((key, 0)));
    }
}

pub(super) fn on_timeout(core: &Core, flow: &Rc<Flow>) {
    flow.object.timeout.set(None);
    match flow.idle_timeout() {
        Some(idle) if idle_for(core, flow) >= idle => close(core, flow, Reason::Idle),
        _ => arm(core, flow),
    }
}

fn idle_for(core: &Core, flow: &Flow) -> Duration {
    Duration::from_nanos(core.clock.now().saturating_sub(flow.last_io.get()))
}

/// Notifies the handler of the drain, if it says goodbye to flows.
pub(super) fn drain(core: &Core, flow: &Flow, deadline: u64) {
    let (_, drains) = flow.object.service().instance.handler().drains_datagrams();
    if drains {
        notify(core, &flow.object, Notice::Drain(deadline));
    }
}

/// Ends a flow.
pub(super) fn close(core: &Core, flow: &Rc<Flow>, reason: Reason) {
    let object = &flow.object;
    if !object.mark(Flag::ENDED) {
        return;
    }
    let service = Arc::clone(&object.service());
    let notice = Notice::Closed(reason.code());
    if let Err(error) = service
        .instance
        .notify(object.id, object.state.get(), notice)
    {
        log_fault(&service, object.id, "closed", error);
    }
    release(core, flow);
}

/// Takes a flow out of the table, and lets its socket settle.
fn release(core: &Core, flow: &Flow) {
    let socket = Rc::clone(&flow.socket());
    socket.flows.borrow_mut().remove(flow);
    drop(socket.port.take_kept(flow.object.id));
    core.remove(&flow.object);
    core.queue(socket.object.id, Cause::Settle);
}
