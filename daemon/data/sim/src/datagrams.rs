//! The other ends of datagram sockets.

use std::collections::BTreeMap;
use std::path::Path;

use socket2::{SockAddr, Socket};

use crate::counts::Work;
use crate::pattern;
use crate::simulation::Simulation;

/// A peer of datagram sockets.
#[derive(Debug)]
pub(crate) struct DatagramPeer {
    pub(crate) socket: Option<Socket>,
    pub(crate) name: Vec<u8>,
    /// Sent to each port, and of each port the number that came last.
    pub(crate) sent: Vec<u64>,
    pub(crate) delivered: Vec<u64>,
    /// Something may be missing: a flow was refused or ended.
    pub(crate) excused: Vec<bool>,
    /// Dialled sockets that have written, with the address to answer at, and what was sent to them.
    pub(crate) dialled: Vec<Dialled>,
    /// The number that came last from each object, by number.
    pub(crate) came: BTreeMap<u64, u64>,
}

#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) number: u64,
    address: SockAddr,
    pub(crate) sent: u64,
}

/// A datagram peer sends to a port.
pub(crate) fn datagram_sends(
    sim: &mut Simulation,
    peer: usize,
    port: usize,
    path: &Path,
    len: usize,
) {
    let Some(one) = sim.peers.datagram.get_mut(peer) else {
        return;
    };
    let (Some(socket), Some(sent)) = (&one.socket, one.sent.get_mut(port)) else {
        return;
    };
    let bytes = payload(peer as u64, *sent + 1, len);
    let Ok(to) = SockAddr::unix(path) else { return };
    if socket.send_to(&bytes, &to).is_ok() {
        *sent += 1;
        let number = *sent;
        sim.trace.step(
            "peer sends a datagram",
            &[
                ("peer", peer as u64),
                ("port", port as u64),
                ("number", number),
            ],
        );
    }
}

/// A datagram peer answers a dialled socket.
pub(crate) fn datagram_answers(sim: &mut Simulation, peer: usize, place: usize) -> Option<u64> {
    let one = sim.peers.datagram.get_mut(peer)?;
    let socket = one.socket.as_ref()?;
    let dialled = one.dialled.get_mut(place)?;
    let bytes = payload(peer as u64, dialled.sent + 1, 24);
    socket.send_to(&bytes, &dialled.address).ok()?;
    dialled.sent += 1;
    Some(dialled.number)
}

/// A datagram peer reads what has come.
pub(crate) fn datagram_reads(sim: &mut Simulation, peer: usize, most: usize) {
    for _ in 0..most {
        let Some(one) = sim.peers.datagram.get_mut(peer) else {
            return;
        };
        let Some(socket) = &one.socket else { return };
        let mut room = [std::mem::MaybeUninit::uninit(); 4096];
        let Ok((count, from)) = socket.recv_from(&mut room) else {
            return;
        };
        let bytes: Vec<u8> = room
            .iter()
            .take(count)
            .map(|byte| {
                // SAFETY: the first `count` bytes were written by the receive.
                unsafe { byte.assume_init() }
            })
            .collect();
        let Some((number, sequence)) = read_payload(&bytes) else {
            return sim.violate("a datagram was cut or mixed");
        };
        let before = one.came.insert(number, sequence).unwrap_or(0);
        sim.trace.step(
            "peer reads a datagram",
            &[
                ("peer", peer as u64),
                ("from", number),
                ("number", sequence),
            ],
        );
        if sequence <= before {
            sim.violate(format!(
                "peer {peer}: datagram {sequence} of object {number} after {before}"
            ));
        }
        let object = sim.objects.values().find(|one| one.number == number);
        let (id, dialled) =
            object.map_or((0, false), |one| (one.id, one.dialled && one.socket == 0));
        if sequence > object.map_or(0, |one| one.sent) {
            sim.violate(format!(
                "peer {peer}: datagram {sequence} of object {number} was never sent"
            ));
        }
        if dialled
            && let Some(one) = sim.peers.datagram.get_mut(peer)
            && !one.dialled.iter().any(|one| one.number == number)
        {
            one.dialled.push(Dialled {
                number,
                address: from,
                sent: 0,
            });
        }
        sim.count(Work::Room, id);
    }
}

/// A datagram: who sent it, its number, and bytes that follow from both.
pub(crate) fn payload(from: u64, number: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(16 + len);
    bytes.extend_from_slice(&from.to_le_bytes());
    bytes.extend_from_slice(&number.to_le_bytes());
    pattern::fill(from, number, len, &mut bytes);
    bytes
}

/// Sender and number of a datagram; `None` if it is not whole.
pub(crate) fn read_payload(bytes: &[u8]) -> Option<(u64, u64)> {
    let (from, rest) = bytes.split_first_chunk::<8>()?;
    let (number, rest) = rest.split_first_chunk::<8>()?;
    let (from, number) = (u64::from_le_bytes(*from), u64::from_le_bytes(*number));
    pattern::fits(from, number, rest).then_some((from, number))
}
