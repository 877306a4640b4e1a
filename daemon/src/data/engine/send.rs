//! Sending datagrams: from where the plugin has them, without a copy, in as few calls as the system allows.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use polyport_host::desk::{Outgoing, OutgoingList, SendTo};
use polyport_host::id::{Id, Kind};
use polyport_host::status::Refuse;
use polyport_sys::PeerRef;
use polyport_sys::datagrams::{self, LocalAddress, Stop};

use super::Engine;
use super::deadlines::Due;
use super::dial::Later;
use super::flow::Flow;
use super::receive::Senders;
use super::socket::Socket;
use super::table::Entity;

/// How long a handler waits when the system is out of memory, which no event ends.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(10);

impl Engine {
    /// Sends what can be sent now; returns how many were taken.
    pub(super) fn send(
        &self,
        socket: &Rc<Socket>,
        list: &dyn OutgoingList,
    ) -> Result<usize, Refuse> {
        let flows = self.flows_named(list);
        let senders = self.senders.borrow();
        let refused = Cell::new(None);
        let outs = (0..list.len()).map_while(|place| {
            let flow = flows.get(place).and_then(Option::as_deref);
            let resolved = list.at(place).and_then(|out| resolve(&out, &senders, flow));
            resolved.map_err(|refuse| refused.set(Some(refuse))).ok()
        });
        let mut scratch = self.sending.borrow_mut();
        let outcome = socket.socket.send(&mut scratch, outs, |place, error| {
            let to = list.at(place).and_then(|out| {
                let flow = flows.get(place).and_then(Option::as_deref);
                resolve(&out, &senders, flow).map(|out| out.to.map(|to| to.to_owned()))
            });
            let to = to.ok().flatten().or_else(|| socket.remote.clone());
            if let Some(to) = to {
                self.later(Later::SendError(
                    socket.id,
                    to,
                    error.raw_os_error().unwrap_or(0),
                ));
            }
        });
        match outcome.stopped {
            Some(Stop::Full) => socket.writable_owed.set(true),
            Some(Stop::NoMemory) => {
                socket.writable_owed.set(true);
                self.deadlines.add(Due::Look(socket.id), EXHAUSTED_PAUSE);
            }
            None => {}
        }
        match refused.get() {
            Some(refuse) if outcome.taken == 0 && outcome.stopped.is_none() => Err(refuse),
            _ => Ok(outcome.taken),
        }
    }

    /// The pause after a lack of memory is over.
    pub(super) fn socket_due(&self, socket: &Rc<Socket>) {
        self.socket_writable(socket);
    }

    /// The flows that datagrams are for, by place; empty when none is for a flow.
    fn flows_named(&self, list: &dyn OutgoingList) -> Vec<Option<Rc<Flow>>> {
        let flow_at = |place| match list.at(place).ok()?.to {
            SendTo::Peer(id) if id.kind() == Some(Kind::Flow) => Some(id),
            _ => None,
        };
        if !(0..list.len()).any(|place| flow_at(place).is_some()) {
            return Vec::new();
        }
        let named = |id: Id| match self.table.get(id) {
            Some(Entity::Flow(flow)) => Some(flow),
            _ => None,
        };
        (0..list.len())
            .map(|place| flow_at(place).and_then(named))
            .collect()
    }
}

/// Where a datagram goes to and comes from.
fn resolve<'a>(
    out: &Outgoing<'a>,
    senders: &'a Senders,
    flow: Option<&'a Flow>,
) -> Result<datagrams::Outgoing<'a>, Refuse> {
    let (to, asked) = match (out.to, flow) {
        (SendTo::Address(to), _) => (Some(PeerRef::Ip(to)), None),
        (SendTo::Connected, _) => (None, None),
        (SendTo::Peer(_), Some(flow)) => (Some(flow.remote.as_ref()), flow.asked),
        (SendTo::Peer(peer), None) => {
            let (from, asked) = senders.named(peer).ok_or(Refuse::Gone)?;
            (Some(from.as_ref()), *asked)
        }
    };
    if matches!(to, Some(PeerRef::Unix(None))) {
        // A Unix socket without a name cannot be answered.
        return Err(Refuse::Denied);
    }
    let from = out
        .from
        .map(|ip| LocalAddress { ip, interface: 0 })
        .or(asked);
    Ok(datagrams::Outgoing {
        bytes: out.bytes,
        to,
        from,
    })
}
