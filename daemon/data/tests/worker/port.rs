//! One datagram socket on a stage with one worker, and who talks to it.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use polyport_data::listen::{DatagramListener, Origin, OwnSocket};
use polyport_data::service::Service;
use polyport_data::snapshot::{Leaving, Snapshot};
use polyport_sys::{PeerAddress, bind_udp};

use crate::stage::{Actor, SOON, Stage};

/// See the module's text; one actor answers at a time.
pub(crate) struct UdpPort {
    pub(crate) stage: Stage,
    listener: Option<Arc<DatagramListener>>,
    pub(crate) at: SocketAddr,
}

impl UdpPort {
    pub(crate) fn new() -> Self {
        let (socket, granted) = bind_udp(([127, 0, 0, 1], 0).into(), 1 << 20).unwrap();
        let PeerAddress::Ip(at) = socket.local_address().unwrap() else {
            unreachable!("it is bound to an IP address")
        };
        let listener = DatagramListener {
            address: format!("udp://{at}"),
            socket: OwnSocket::new(socket, Origin::Bound),
            worker: 0,
            granted: Some(granted),
            dropped_by_kernel: AtomicU32::new(0),
        };
        Self {
            stage: Stage::new(1),
            listener: Some(Arc::new(listener)),
            at,
        }
    }

    /// An instance of a plugin of the tests, built with these macros.
    pub(crate) fn actor(&self, plugin: &str, macros: &[&str]) -> Actor {
        self.actor_with(plugin, macros, "{}")
    }

    pub(crate) fn actor_with(&self, plugin: &str, macros: &[&str], config: &str) -> Actor {
        let source = format!("tests/plugins/{plugin}.c");
        self.stage.actor_of(&source, macros, config)
    }

    /// The kernel's socket, as another process has it.
    pub(crate) fn copy(&self) -> UdpSocket {
        let socket = &self.listener.as_ref().unwrap().socket;
        UdpSocket::from(socket.as_fd().try_clone_to_owned().unwrap())
    }

    /// Lets an actor answer, and waits until that is so.
    pub(crate) fn serve(&self, actor: &Actor) {
        self.serve_as(&actor.service("s"), Vec::new());
    }

    pub(crate) fn serve_as(&self, service: &Arc<Service>, leaving: Vec<Leaving>) {
        let listener = self.listener.as_ref().unwrap();
        self.stage.apply(Snapshot {
            number: 1,
            services: vec![Arc::clone(service)],
            listeners: Vec::new(),
            sockets: vec![(Arc::clone(listener), Arc::clone(service))],
            leaving,
        });
    }

    /// Takes socket and service away.
    pub(crate) fn remove(&mut self) {
        self.remove_with(&[]);
    }

    /// The same, with who leaves.
    pub(crate) fn remove_with(&mut self, leaving: &[Leaving]) {
        self.listener.take();
        self.stage.serve(&[], leaving);
    }

    /// Waits until the worker has let go of an actor.
    pub(crate) fn wait_until_unused(&self, actor: &Actor) {
        self.stage.wait_for(&actor.in_use);
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::to(self.at)
    }
}

/// Who talks to the port, or is talked to by it.
pub(crate) struct Peer(UdpSocket);

impl Peer {
    pub(crate) fn to(address: SocketAddr) -> Self {
        let peer = Self::bound();
        peer.0.connect(address).unwrap();
        peer
    }

    pub(crate) fn bound() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self(socket)
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    pub(crate) fn ask(&self, text: &str) -> String {
        self.send(text);
        self.receives()
    }

    pub(crate) fn send(&self, text: &str) {
        self.0.send(text.as_bytes()).unwrap();
    }

    pub(crate) fn send_to(&self, text: &str, to: SocketAddr) {
        self.0.send_to(text.as_bytes(), to).unwrap();
    }

    pub(crate) fn receives(&self) -> String {
        self.receive_from().0
    }

    /// Nothing comes for a moment, though it was asked for.
    pub(crate) fn receives_nothing(&self) {
        self.receives_nothing_for(Duration::from_millis(100));
    }

    pub(crate) fn receives_nothing_for(&self, moment: Duration) {
        self.0.set_read_timeout(Some(moment)).unwrap();
        assert!(self.0.recv(&mut [0; 64]).is_err());
        self.0.set_read_timeout(Some(SOON)).unwrap();
    }

    pub(crate) fn receive_from(&self) -> (String, SocketAddr) {
        let mut bytes = [0; 2048];
        let (count, from) = self.0.recv_from(&mut bytes).unwrap();
        (String::from_utf8_lossy(&bytes[..count]).into_owned(), from)
    }
}
