//! The other ends: of connections, and of datagrams.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::connections::Connection;
use crate::datagrams::DatagramPeer;

/// Listening sockets that dials go to; one dial at a time each.
const SLOTS: usize = 6;
/// Datagram peers.
const DATAGRAM_PEERS: usize = 5;

/// What a thread keeps over its runs.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) room: tempfile::TempDir,
    /// Distinguishes this thread's abstract names.
    prefix: String,
    listening: Vec<Rc<Socket>>,
    files: u64,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) connections: Vec<Connection>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) datagram: Vec<DatagramPeer>,
    /// How the names of connections begin.
    pub(crate) names: String,
    pub(crate) buffer: Vec<u8>,
}

/// A listening socket of the sim.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) socket: Rc<Socket>,
    /// As a dial names it.
    pub(crate) name: Vec<u8>,
    /// The tag of the dial that is under way there.
    pub(crate) tag: Option<u64>,
    pub(crate) connection: Option<usize>,
}

impl Place {
    pub(crate) fn new(thread: usize) -> Result<Self> {
        let room = match tempfile::tempdir_in("/dev/shm") {
            Ok(room) => room,
            Err(_) => tempfile::tempdir()?,
        };
        let prefix = format!("\0sim-{}-{thread}", std::process::id());
        let listening = (0..SLOTS).map(|slot| {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.bind(&SockAddr::unix(format!("{prefix}-l{slot}"))?)?;
            socket.listen(16)?;
            socket.set_nonblocking(true)?;
            Ok(Rc::new(socket))
        });
        let listening = listening.collect::<io::Result<Vec<_>>>()?;
        Ok(Self {
            room,
            prefix,
            listening,
            files: 0,
        })
    }

    /// A path that nothing was at.
    pub(crate) fn path(&mut self) -> PathBuf {
        self.files += 1;
        self.room.path().join(self.files.to_string())
    }

    /// The peers of a run.
    pub(crate) fn peers(&mut self, ports: usize) -> Result<Peers> {
        let slots = self.listening.iter().enumerate().map(|(slot, socket)| {
            // What an earlier run left there.
            while socket.accept().is_ok() {}
            Slot {
                socket: Rc::clone(socket),
                name: format!("{}-l{slot}", self.prefix).into_bytes(),
                tag: None,
                connection: None,
            }
        });
        let slots = slots.collect();
        self.files += 1;
        let datagram = (0..DATAGRAM_PEERS).map(|peer| {
            let name = format!("{}-d{peer}-{}", self.prefix, self.files);
            let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
            socket.bind(&SockAddr::unix(&name)?)?;
            socket.set_nonblocking(true)?;
            Ok(DatagramPeer {
                socket: Some(socket),
                name: name.into_bytes(),
                sent: vec![0; ports],
                delivered: vec![0; ports],
                excused: vec![false; ports],
                dialled: Vec::new(),
                came: BTreeMap::new(),
            })
        });
        Ok(Peers {
            connections: Vec::new(),
            slots,
            names: format!("{}-c{}", self.prefix, self.files),
            datagram: datagram.collect::<io::Result<_>>()?,
            buffer: vec![0; 64 << 10],
        })
    }
}

impl Peers {
    /// A new connection; returns its number.
    pub(crate) fn add(&mut self, socket: Socket, keys: (u64, u64)) -> usize {
        self.connections.push(Connection {
            socket: Some(socket),
            key_in: keys.0,
            key_out: keys.1,
            sent: 0,
            last_sent: 0,
            fin: false,
            received: 0,
            end: false,
            object: None,
        });
        self.connections.len() - 1
    }
}
