//! Sending datagrams: from where the plugin has them, without a copy, in as few calls as the system allows.

use std::cell::Cell;
use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use polyport_host::host_api::{OutgoingList, SendTo};
use polyport_host::id::Kind;
use polyport_host::status::HostError;
use polyport_sys::datagrams::{Destination, LocalAddress, Run, Stop};
use polyport_sys::{PeerAddress, PeerRef};

use super::call::BatchPeers;
use super::{Cause, Core, Work};
use crate::object::{Flag, Flow, Socket};

/// Failed datagrams of one call that the handler is notified of.
const FAILURES_MAX: usize = 64;
/// How long a handler waits when the system is out of memory, which no event ends.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

/// Sends what can be sent now; returns how many were taken.
pub(super) fn send(
    core: &Core,
    socket: &Rc<Socket>,
    list: &dyn OutgoingList,
) -> Result<usize, HostError> {
    let peers = core.call.peers.borrow();
    let refused = Cell::new(None);
    let resolve = |place| {
        let run = list.run(place)?;
        let to = target(core, socket, run.to, run.from, &peers)?;
        Ok((to, run.payloads))
    };
    let mut place = 0;
    let runs = iter::from_fn(|| {
        if place >= list.len() || refused.get().is_some() {
            return None;
        }
        let resolved = resolve(place);
        let (destination, payloads) = resolved.map_err(|why| refused.set(Some(why))).ok()?;
        place += payloads.len();
        let payloads = payloads.map_while(|one| one.map_err(|why| refused.set(Some(why))).ok());
        Some(Run {
            destination,
            payloads,
        })
    });
    let mut scratch = core.call.sending.borrow_mut();
    let mut failures = 0;
    let outcome = socket.port.send_runs(&mut scratch, runs, |place, error| {
        failures += 1;
        // Each is resolved again, so only the first failures of a call that fails as a whole are notified.
        if failures > FAILURES_MAX || core.ready.is_full() {
            return;
        }
        let to = resolve(place).ok();
        let to = to.and_then(|(to, _)| to.to().map(|to| to.to_owned()));
        if let Some(to) = to.or_else(|| socket.remote.clone()) {
            let errno = error.raw_os_error().unwrap_or(0);
            core.queue(socket.object.id, Cause::SendError(Box::new((to, errno))));
        }
    });
    let object = &socket.object;
    match outcome.stopped {
        Some(Stop::Full) => object.set(Flag::WRITABLE_OWED),
        Some(Stop::NoMemory) => {
            object.set(Flag::WRITABLE_OWED);
            core.after(EXHAUSTED_PAUSE, Work::Object(object.id, Cause::Timeout));
        }
        None => {}
    }
    match refused.get() {
        Some(refuse) if outcome.taken == 0 && outcome.stopped.is_none() => Err(refuse),
        Some(_) if outcome.stopped.is_none() => {
            // A datagram that cannot be sent cut the call short; no event would say that the handler can go on.
            object.set(Flag::WRITABLE_OWED);
            core.queue(socket.object.id, Cause::Writable);
            Ok(outcome.taken)
        }
        _ => Ok(outcome.taken),
    }
}

/// Where datagrams go to and come from.
fn target<'a>(
    core: &Core,
    socket: &Rc<Socket>,
    to: SendTo,
    from: Option<IpAddr>,
    peers: &'a BatchPeers,
) -> Result<SendTarget<'a>, HostError> {
    let (to, asked) = match to {
        SendTo::Address(to) => (To::Address(to), None),
        SendTo::Connected => (To::Connected, None),
        SendTo::Peer(id) if id.kind() == Some(Kind::Flow) => match core.table.flow(id) {
            Some(flow) if Rc::ptr_eq(&flow.socket(), socket) => {
                flow.last_io.set(core.clock.now());
                let asked = flow.local;
                (To::Flow(flow), asked)
            }
            _ => return Err(HostError::Gone),
        },
        SendTo::Peer(peer) => {
            let (from, asked) = peers.resolve(peer).ok_or(HostError::Gone)?;
            (To::Sender(from), *asked)
        }
    };
    let from = from.map(|ip| LocalAddress { ip, interface: 0 }).or(asked);
    let target = SendTarget { to, from };
    match target.to() {
        // A Unix socket without a name cannot be answered.
        Some(PeerRef::Unix(None)) => Err(HostError::Denied),
        _ => Ok(target),
    }
}

/// The remote address of datagrams, and our address that they come from.
struct SendTarget<'a> {
    to: To<'a>,
    from: Option<LocalAddress>,
}

enum To<'a> {
    Sender(&'a PeerAddress),
    Flow(Rc<Flow>),
    Address(SocketAddr),
    Connected,
}

impl Destination for SendTarget<'_> {
    fn to(&self) -> Option<PeerRef<'_>> {
        match &self.to {
            To::Sender(sender) => Some(sender.as_ref()),
            To::Flow(flow) => Some(flow.remote.as_ref()),
            To::Address(address) => Some(PeerRef::Ip(*address)),
            To::Connected => None,
        }
    }

    fn from(&self) -> Option<LocalAddress> {
        self.from
    }
}
