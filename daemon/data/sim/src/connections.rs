//! The other ends of connections.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use anyhow::Result;
use polyport_sys::Stream;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::counts::Work;
use crate::pattern;
use crate::simulation::Simulation;

/// The other end of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Option<Socket>,
    /// Of the bytes to the worker, and of those from it.
    pub(crate) key_in: u64,
    pub(crate) key_out: u64,
    pub(crate) sent: u64,
    pub(crate) last_sent: u64,
    pub(crate) fin: bool,
    pub(crate) received: u64,
    /// The end of what comes was seen.
    pub(crate) end: bool,
    pub(crate) object: Option<u64>,
}

/// A connected pair: the worker's end and the peer's.
pub(crate) fn pair(buffers: (usize, usize)) -> Result<(Stream, Socket)> {
    let (near, far) = UnixStream::pair()?;
    let (near, far) = (
        Socket::from(OwnedFd::from(near)),
        Socket::from(OwnedFd::from(far)),
    );
    if buffers.0 != 0 {
        near.set_send_buffer_size(buffers.0)?;
    }
    if buffers.1 != 0 {
        far.set_send_buffer_size(buffers.1)?;
    }
    far.set_nonblocking(true)?;
    Ok((Stream::try_from(OwnedFd::from(near))?, far))
}

/// A connection to a listener; `None` if its queue is full.
pub(crate) fn connect_to(path: &Path, name: &str) -> Result<Option<Socket>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(name)?)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(Some(socket)),
        Err(_) => Ok(None),
    }
}

/// Sends up to `len` bytes to the worker.
pub(crate) fn peer_sends(sim: &mut Simulation, number: usize, len: usize) {
    let now = sim.now();
    let Some(connection) = sim.peers.connections.get_mut(number) else {
        return;
    };
    let Some(socket) = &mut connection.socket else {
        return;
    };
    let mut bytes = Vec::with_capacity(len);
    pattern::fill(connection.key_in, connection.sent, len, &mut bytes);
    if let Ok(count) = socket.write(&bytes) {
        connection.sent += count as u64;
        connection.last_sent = now;
        let object = connection.object;
        sim.trace.step(
            "peer sends",
            &[("connection", number as u64), ("bytes", count as u64)],
        );
        sim.count(Work::Data, object.unwrap_or(0));
    }
}

/// Ends the peer's direction.
pub(crate) fn peer_ends(sim: &mut Simulation, number: usize) {
    let Some(connection) = sim.peers.connections.get_mut(number) else {
        return;
    };
    if connection.fin {
        return;
    }
    if let Some(socket) = &connection.socket {
        let _gone = socket.shutdown(Shutdown::Write);
        connection.fin = true;
        let object = connection.object.unwrap_or(0);
        sim.trace
            .step("peer ends", &[("connection", number as u64)]);
        sim.count(Work::Fin, object);
    }
}

/// Closes the peer's end, whatever is under way.
pub(crate) fn peer_closes(sim: &mut Simulation, number: usize) {
    let Some(connection) = sim.peers.connections.get_mut(number) else {
        return;
    };
    if connection.socket.take().is_some() {
        let object = connection.object.unwrap_or(0);
        sim.trace
            .step("peer closes", &[("connection", number as u64)]);
        sim.count(Work::Reset, object);
    }
}

/// Reads up to `most` bytes, and checks them against the model.
pub(crate) fn peer_reads(sim: &mut Simulation, number: usize, most: usize) {
    let mut left = most;
    while left != 0 {
        let Some(connection) = sim.peers.connections.get_mut(number) else {
            return;
        };
        let (Some(socket), false) = (&mut connection.socket, connection.end) else {
            return;
        };
        let room = left.min(sim.peers.buffer.len());
        let Some(buffer) = sim.peers.buffer.get_mut(..room) else {
            return;
        };
        match socket.read(buffer) {
            Ok(0) => {
                connection.end = true;
                return peer_saw_end(sim, number, false);
            }
            Ok(count) => {
                left -= count;
                let fits = pattern::fits(
                    connection.key_out,
                    connection.received,
                    buffer.get(..count).unwrap_or_default(),
                );
                connection.received += count as u64;
                let (received, object) = (connection.received, connection.object);
                let written = object
                    .and_then(|id| sim.objects.get(&id))
                    .map_or(0, |one| one.stream.written);
                sim.trace.step(
                    "peer reads",
                    &[("connection", number as u64), ("bytes", count as u64)],
                );
                if !fits {
                    sim.violate(format!("connection {number}: a byte is lost, doubled or out of order before {received}"));
                } else if received > written {
                    sim.violate(format!(
                        "connection {number}: {received} bytes came of {written} written"
                    ));
                }
                sim.count(Work::Room, object.unwrap_or(0));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => {
                connection.end = true;
                return peer_saw_end(sim, number, true);
            }
        }
    }
}

/// The worker has ended its direction, or closed.
pub(crate) fn peer_saw_end(sim: &mut Simulation, number: usize, reset: bool) {
    sim.trace.step(
        "peer sees the end",
        &[("connection", number as u64), ("reset", reset.into())],
    );
    let Some(connection) = sim.peers.connections.get(number) else {
        return;
    };
    let received = connection.received;
    let Some(object) = connection.object.and_then(|id| sim.objects.get(&id)) else {
        if received != 0 {
            sim.violate(format!("connection {number}: bytes of nobody"));
        }
        return;
    };
    let written = object.stream.written;
    let stateless = sim
        .actors
        .get(object.actor)
        .is_some_and(|one| !one.traits.stateful);
    let text = if object.is_open() && !stateless {
        (!object.stream.fin_written || received != written).then_some(
            "the end came, though the handler has not ended its direction and all was not sent",
        )
    } else {
        (object.all_is_to_come() && received != written).then_some("the end came before all bytes")
    };
    if let Some(text) = text {
        let text = format!("connection {number}: {text}: {received} of {written}");
        sim.violate(text);
    }
}

/// Accepts the dials that have come to the slots.
pub(crate) fn accept_dials(sim: &mut Simulation) {
    for slot in 0..sim.peers.slots.len() {
        let Some(place) = sim.peers.slots.get(slot) else {
            return;
        };
        let (Some(tag), None) = (place.tag, place.connection) else {
            continue;
        };
        if let Ok((socket, _)) = place.socket.accept() {
            let _blocking = socket.set_nonblocking(true);
            let keys = (sim.random.next(), sim.random.next());
            let number = sim.peers.add(socket, keys);
            if let Some(place) = sim.peers.slots.get_mut(slot) {
                place.connection = Some(number);
            }
            sim.trace.step(
                "dial accepted",
                &[("tag", tag), ("connection", number as u64)],
            );
        }
    }
}
