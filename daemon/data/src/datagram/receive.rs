//! Receiving datagrams: batch by batch, to the handler of the socket or to its flows.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use polyport_host::datagram::{Batch, IncomingPayload, IncomingRun};
use polyport_host::stream::Address;
use polyport_sys::datagrams::{LocalAddress, ReceiveArena, ReceiveOutcome, Received};
use polyport_sys::{PeerAddress, PeerRef};

use super::{Datagrams, flow};
use crate::callback::check;
use crate::core::{Cause, Core, GATHER_MAX, Work};
use crate::object::{Flag, Flow, Kept, Port, Sender, Socket, address};
use crate::reason::Reason;

/// Receives of one socket in one turn.
const RECEIVES: usize = 4;
/// Messages that one receive takes at most.
const DATAGRAMS: usize = 64;
/// How long a socket rests when the system is out of memory.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

impl Datagrams {
    /// Receives what is there, a few batches at most; the next turn goes on.
    pub(super) fn receive(&mut self, core: &Core, socket: &Rc<Socket>) {
        for _ in 0..RECEIVES {
            if self.receive_once(core, socket) {
                return;
            }
        }
        core.go_on(&socket.object);
    }

    /// Receives and delivers one batch; returns whether to stop: nothing more is there, or may be received now.
    pub(super) fn receive_once(&mut self, core: &Core, socket: &Rc<Socket>) -> bool {
        if !socket.object.is_callable() || !socket.is_serving() || is_deferred(core, socket) {
            return true;
        }
        let Self { arena, batch } = self;
        let arena = arena.get_or_insert_with(|| ReceiveArena::new(DATAGRAMS, GATHER_MAX));
        match socket.port.receive(arena) {
            ReceiveOutcome::Datagrams(received) => {
                deliver_batch(core, socket, &received, batch);
                received.drained()
            }
            ReceiveOutcome::Empty => true,
            ReceiveOutcome::Refused(error) => {
                let remote = socket.remote.as_ref();
                let to = remote.map_or(Address::None, address);
                let errno = error.raw_os_error().unwrap_or(0);
                let object = &socket.object;
                let service = object.service();
                let result = service
                    .instance
                    .send_error(object.id, object.state.get(), to, errno);
                check(core, &socket.object, "on_send_error", result);
                false
            }
            ReceiveOutcome::Exhausted(error) => {
                tracing::warn!(address = %socket.object.listener, %error, "receive pauses: the system is out of memory");
                let again = Work::Object(socket.object.id, Cause::Receive);
                core.after(EXHAUSTED_PAUSE, again);
                true
            }
            ReceiveOutcome::Broken(error) => {
                tracing::error!(address = %socket.object.listener, %error, "the socket has failed and is closed");
                core.queue(socket.object.id, Cause::Close(Reason::Host));
                true
            }
        }
    }

    /// Delivers the datagrams that were kept for a flow whose instance was paused.
    pub(super) fn deliver_kept(&mut self, core: &Core, flow: &Rc<Flow>) {
        let socket = Rc::clone(&flow.socket());
        for kept in socket.port.take_kept(flow.object.id) {
            core.call.begin_batch();
            let peer = core.call.name_peer(flow.remote.as_ref(), flow.local);
            let info = flow.info();
            let run = IncomingRun {
                peer,
                from: info.remote,
                to: info.local,
                payloads: kept.datagrams.iter().map(|datagram| IncomingPayload {
                    bytes: &datagram.bytes,
                    truncated: datagram.truncated,
                }),
            };
            let batch = self.batch.fill(kept.received, std::iter::once(run));
            flow::deliver(core, flow, batch);
            core.call.end_batch();
        }
        // Reading may have stopped because too much was kept.
        core.queue(socket.port.serving(), Cause::Receive);
    }
}

/// Defers reading and returns true if another process reads from the port, or the serving instance is paused, or much is
/// kept for flows of a paused one. Datagrams stay in the kernel's queue, in order.
fn is_deferred(core: &Core, serving: &Socket) -> bool {
    let object = &serving.object;
    if core.standby.get() && serving.port.listener().is_some()
        || core.pause.is_paused(object.instance())
    {
        core.defer_readiness(object);
        return true;
    }
    serving.port.has_much_kept()
}

fn deliver_batch(
    core: &Core,
    socket: &Rc<Socket>,
    received: &Received<'_>,
    room: &mut polyport_host::datagram::BatchBuffer,
) {
    if let Some(drops) = received.kernel_drops()
        && let Some(listener) = socket.port.listener()
    {
        listener.dropped_by_kernel.store(drops, Ordering::Relaxed);
    }
    let service = socket.object.service();
    let instance = &service.instance;
    let wants_truncated = instance.handler().wants_truncated();
    core.call.begin_batch();
    let all = received.trains().map(|train| {
        if train.truncated {
            count_truncated(socket);
        }
        let pieces = train.pieces().map(|one| IncomingPayload {
            bytes: one.bytes,
            truncated: one.truncated,
        });
        IncomingRun {
            peer: core.call.name_peer(train.from, train.to()),
            from: match train.from {
                PeerRef::Ip(from) => Address::Ip(from),
                PeerRef::Unix(_) => Address::Unix,
            },
            to: local_address(socket, train.to()),
            payloads: pieces.filter(move |one| wants_truncated || !one.truncated),
        }
    });
    let batch = room.fill(core.clock.now(), all);
    if !batch.is_empty() {
        if socket.port.has_superseded() || instance.handler().flows().is_some() {
            deliver_runs(core, socket, batch);
        } else {
            let object = &socket.object;
            let result = instance.datagrams(object.id, object.state.get(), batch);
            check(core, &socket.object, "on_datagrams", result);
        }
    }
    core.call.end_batch();
}

/// Delivers each run of datagrams of one peer: to its flow with a superseded socket, to its flow, or to the socket.
fn deliver_runs(core: &Core, serving: &Rc<Socket>, batch: Batch<'_>) {
    for (peer, run) in batch.runs() {
        let Some(sender) = core.call.sender(peer) else {
            return;
        };
        if let Some(flow) = superseded_flow(core, &serving.port, &sender) {
            deliver_or_keep(core, &flow, run);
            continue;
        }
        let object = &serving.object;
        if !object.is_callable() {
            continue;
        }
        let service = object.service();
        if service.instance.handler().flows().is_none() {
            let result = service
                .instance
                .datagrams(object.id, object.state.get(), run);
            check(core, &serving.object, "on_datagrams", result);
        } else if let Some(flow) = flow::flow_of(core, serving, sender) {
            flow::deliver(core, &flow, run);
        }
    }
}

/// Delivers a run to a flow of a superseded socket; if that one's instance is paused, the run is kept until it is resumed,
/// so that other peers of the port need not wait. What comes before kept ones are delivered is kept behind them.
fn deliver_or_keep(core: &Core, flow: &Rc<Flow>, run: Batch<'_>) {
    let id = flow.object.id;
    if !core.pause.is_paused(flow.object.instance()) && !flow.socket().port.has_kept(id) {
        return flow::deliver(core, flow, run);
    }
    let pieces = run.payloads();
    let kept = Kept::new(
        id,
        core.clock.now(),
        pieces.map(|one| (one.bytes, one.truncated)),
    );
    flow.socket().port.keep(kept);
    core.defer_readiness(&flow.object);
}

/// The flow of a peer with a superseded socket.
fn superseded_flow(core: &Core, port: &Port, sender: &Sender) -> Option<Rc<Flow>> {
    port.find_superseded(|id| {
        let socket = core.table.socket(*id)?;
        let known = socket.flows.borrow().of(sender)?;
        let flow = core.table.flow(known)?;
        // With an exclusive instance that was replaced, the flow ends.
        (!flow.object.has(Flag::SUPERSEDED)).then_some(flow)
    })
}

fn count_truncated(socket: &Socket) {
    let truncated = &socket.port.truncated;
    let before = truncated.replace(truncated.get() + 1);
    // Each power of two: a flood of them is worth a few lines, not a flood.
    if (before + 1).is_power_of_two() {
        tracing::warn!(
            service = socket.object.service().name,
            address = %socket.object.listener,
            truncated = before + 1,
            "datagram longer than 64 KiB was cut by the system"
        );
    }
}

/// The local address that a datagram was sent to: delivered with it, or the socket's own.
fn local_address(socket: &Socket, delivered: Option<LocalAddress>) -> Address {
    match (&socket.local, delivered) {
        (PeerAddress::Ip(local), Some(asked)) => {
            Address::Ip(SocketAddr::new(asked.ip, local.port()))
        }
        (local, _) => address(local),
    }
}
