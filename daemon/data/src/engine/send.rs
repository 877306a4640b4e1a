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

use super::Engine;
use super::dial::Later;
use super::flow::Flow;
use super::receive::Senders;
use super::socket::Socket;
use super::table::Entity;
use crate::worker::Due;

/// Failed datagrams of one call that a handler hears of.
const FAILURES_MAX: usize = 64;
/// How long a handler waits when the system is out of memory, which no event ends.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

impl Engine {
    /// Sends what can be sent now; returns how many were taken.
    pub(super) fn send(
        &self,
        socket: &Rc<Socket>,
        list: &dyn OutgoingList,
    ) -> Result<usize, HostError> {
        let senders = self.senders.borrow();
        let refused = Cell::new(None);
        let resolve = |place| {
            let run = list.run(place)?;
            Ok((
                self.destination(socket, run.to, run.from, &senders)?,
                run.payloads,
            ))
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
        let mut scratch = self.sending.borrow_mut();
        let mut failures = 0;
        let outcome = socket.socket.send_runs(&mut scratch, runs, |place, error| {
            failures += 1;
            // Each is looked up again, so a call that fails as a whole is told of in part.
            if failures > FAILURES_MAX || self.is_later_full() {
                return;
            }
            let resolved = resolve(place).ok();
            let to = resolved.and_then(|(to, _)| to.to().map(|to| to.to_owned()));
            if let Some(to) = to.or_else(|| socket.remote.clone()) {
                let errno = error.raw_os_error().unwrap_or(0);
                self.later(Later::SendError(socket.id, to, errno));
            }
        });
        match outcome.stopped {
            Some(Stop::Full) => socket.writable_owed.set(true),
            Some(Stop::NoMemory) => {
                socket.writable_owed.set(true);
                self.timers.add(Due::Look(socket.id), EXHAUSTED_PAUSE);
            }
            None => {}
        }
        match refused.get() {
            Some(refuse) if outcome.taken == 0 && outcome.stopped.is_none() => Err(refuse),
            Some(_) if outcome.stopped.is_none() => {
                // What cannot be sent cut the call short; no event would say that it can go on.
                socket.writable_owed.set(true);
                self.later(Later::Writable(socket.id));
                Ok(outcome.taken)
            }
            _ => Ok(outcome.taken),
        }
    }

    /// The pause after a lack of memory is over.
    pub(super) fn socket_due(&self, socket: &Rc<Socket>) {
        self.socket_writable(socket);
    }

    /// The addresses of datagrams that the plugin sends to `to`.
    fn destination<'a>(
        &self,
        socket: &Rc<Socket>,
        to: SendTo,
        from: Option<IpAddr>,
        senders: &'a Senders,
    ) -> Result<Addresses<'a>, HostError> {
        let (to, asked) = match to {
            SendTo::Address(to) => (To::Address(to), None),
            SendTo::Connected => (To::Connected, None),
            SendTo::Peer(id) if id.kind() == Some(Kind::Flow) => match self.table.get(id) {
                Some(Entity::Flow(flow)) if Rc::ptr_eq(&flow.socket(), socket) => {
                    flow.moved(self.clock.now());
                    let asked = flow.asked;
                    (To::Flow(flow), asked)
                }
                _ => return Err(HostError::Gone),
            },
            SendTo::Peer(peer) => {
                let (from, asked) = senders.named(peer).ok_or(HostError::Gone)?;
                (To::Sender(from), *asked)
            }
        };
        let from = from.map(|ip| LocalAddress { ip, interface: 0 }).or(asked);
        let addresses = Addresses { to, from };
        match addresses.to() {
            // A Unix socket without a name cannot be answered.
            Some(PeerRef::Unix(None)) => Err(HostError::Denied),
            _ => Ok(addresses),
        }
    }
}

/// The addresses of datagrams: peer and source.
struct Addresses<'a> {
    to: To<'a>,
    from: Option<LocalAddress>,
}

enum To<'a> {
    Sender(&'a PeerAddress),
    Flow(Rc<Flow>),
    Address(SocketAddr),
    Connected,
}

impl Destination for Addresses<'_> {
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
