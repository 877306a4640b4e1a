//! Binding: from the listen addresses of a configuration to open sockets.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use polyport_config::{ListenAddress, UnixAddress};
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::{
    InheritedSocket, Listening, PeerAddress, bind_tcp, bind_udp, bind_unix, bind_unixgram,
    lookup_group,
};

use crate::control::listen::activation::PassedSocket;
use crate::control::listen::fdstore::fdstore_name;
use crate::control::service_manager::ServiceManager;
use polyport_data::accept::{DatagramListener, Listener, Origin, OwnSocket};

/// Connections that may wait in the kernel; it takes less if its own bound is lower.
const BACKLOG: i32 = 4096;
/// Receive buffer that is asked for on UDP sockets, bytes: bursts that come while a worker is busy wait there.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How long a cold start tries an address that is in use: the process before this one may just be leaving.
const COLD_START: Duration = Duration::from_secs(2);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What was opened.
#[derive(Debug, Clone)]
pub enum ListenSocket {
    /// For all workers.
    Listener(Arc<Listener>),
    /// For one worker.
    Datagrams(Arc<DatagramListener>),
}

/// How long an address is tried that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindRetry {
    /// For a while: the process before this one may just be leaving.
    ColdStart,
    /// Once: who has it is here to stay.
    None,
}

/// Opens one address; `worker` is the number of the worker that serves it if it is one of datagrams.
///
/// # Errors
/// With what to do about it, for the operator.
pub async fn open(
    address: &ListenAddress,
    worker: u8,
    patience: BindRetry,
) -> Result<ListenSocket, String> {
    let until = Instant::now()
        + match patience {
            BindRetry::ColdStart => COLD_START,
            BindRetry::None => Duration::ZERO,
        };
    loop {
        match try_open(address, worker) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(explain(address, &error)),
        }
    }
}

fn try_open(address: &ListenAddress, worker: u8) -> io::Result<ListenSocket> {
    match address {
        ListenAddress::Tcp(tcp) => listener(bind_tcp(*tcp, BACKLOG)?, Origin::Bound),
        ListenAddress::Unix(unix) => {
            let socket = bind_unix(&unix.path, unix.mode, group(unix)?, BACKLOG)?;
            listener(socket, Origin::Bound)
        }
        ListenAddress::Udp(udp) => {
            let (socket, granted) = bind_udp(*udp, RECEIVE_BUFFER)?;
            tell_granted(address, granted);
            datagrams(socket, Origin::Bound, worker, Some(granted))
        }
        ListenAddress::Unixgram(unix) => datagrams(
            bind_unixgram(&unix.path, unix.mode, group(unix)?)?,
            Origin::Bound,
            worker,
            None,
        ),
        ListenAddress::Inherited { name } => Err(io::Error::other(format!(
            "the service manager passed no socket of the name `{name}` when the daemon was started"
        ))),
    }
}

/// Takes over a socket that the service manager passed, or the process before this one, which may have it still: then
/// it is `shared`.
///
/// # Errors
/// With what to do about it, for the operator.
pub fn adopt(
    address: &ListenAddress,
    claimed: PassedSocket,
    worker: u8,
    shared: bool,
) -> Result<ListenSocket, String> {
    let origin = if claimed.is_ours {
        Origin::Bound
    } else {
        Origin::Inherited
    };
    let opened = match claimed.socket {
        InheritedSocket::Listening(socket) => listener(socket, origin),
        InheritedSocket::Datagrams(socket) => {
            grown(&socket, address).and_then(|granted| datagrams(socket, origin, worker, granted))
        }
        InheritedSocket::Other { why } => Err(io::Error::other(why)),
    };
    let opened = opened.map_err(|error| explain(address, &error))?;
    opened.share(shared);
    opened.set_access(address)?;
    Ok(opened)
}

/// Asks for the receive buffer of a UDP socket, and says what was granted; a Unix socket has none of its own.
fn grown(socket: &DatagramSocket, address: &ListenAddress) -> io::Result<Option<usize>> {
    let PeerAddress::Ip(_) = socket.local_address()? else {
        return Ok(None);
    };
    let granted = socket.grow_receive_buffer(RECEIVE_BUFFER)?;
    tell_granted(address, granted);
    Ok(Some(granted))
}

fn tell_granted(address: &ListenAddress, granted: usize) {
    if granted < RECEIVE_BUFFER {
        tracing::info!(
            %address,
            wanted = RECEIVE_BUFFER,
            granted,
            "the receive buffer is smaller than wanted; net.core.rmem_max bounds it"
        );
    }
}

fn group(unix: &UnixAddress) -> io::Result<Option<u32>> {
    unix.group.as_deref().map(lookup_group).transpose()
}

fn listener(socket: Listening, origin: Origin) -> io::Result<ListenSocket> {
    let local = socket.local_address()?;
    let scheme = if matches!(local, PeerAddress::Ip(_)) {
        "tcp"
    } else {
        "unix"
    };
    let address = shown(scheme, &local);
    let one_for_all = !matches!(&local, PeerAddress::Ip(ip) if ip.ip().is_unspecified());
    let local = one_for_all.then_some(local);
    if let Err(error) = socket.guard_against_dead_peers() {
        drop(socket.unlink());
        return Err(error);
    }
    let listener = Listener::new(address, local, socket, origin);
    Ok(ListenSocket::Listener(Arc::new(listener)))
}

fn datagrams(
    socket: DatagramSocket,
    origin: Origin,
    worker: u8,
    granted: Option<usize>,
) -> io::Result<ListenSocket> {
    let socket = OwnSocket::new(socket, origin);
    let local = socket.local_address()?;
    let scheme = if matches!(local, PeerAddress::Ip(_)) {
        "udp"
    } else {
        "unixgram"
    };
    Ok(ListenSocket::Datagrams(Arc::new(DatagramListener {
        address: shown(scheme, &local),
        socket,
        worker,
        granted,
        dropped_by_kernel: AtomicU32::new(0),
    })))
}

fn shown(scheme: &str, local: &PeerAddress) -> String {
    match local {
        PeerAddress::Ip(ip) => format!("{scheme}://{ip}"),
        PeerAddress::Unix(name) => {
            let name = name.as_deref().unwrap_or_default();
            format!("{scheme}://{}", String::from_utf8_lossy(name))
        }
    }
}

/// What went wrong and what to do.
fn explain(address: &ListenAddress, error: &io::Error) -> String {
    let help = match error.kind() {
        _ if matches!(address, ListenAddress::Inherited { .. }) => {
            "the socket unit wants FileDescriptorName= with this name, and Service= when its own name is another"
        }
        io::ErrorKind::AddrInUse => {
            "another process listens there: `ss -lntup` names it, or choose another address"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface of this host has the address: `ip address` lists them"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 want CAP_NET_BIND_SERVICE (in a unit: AmbientCapabilities=), a Unix socket a folder \
             that the daemon may write"
        }
        io::ErrorKind::NotFound => "the folder of the socket does not exist",
        _ => "the system refuses it",
    };
    format!("cannot listen on {address}: {error}; {help}")
}

impl ListenSocket {
    /// For the log and for listings.
    #[must_use]
    pub fn address(&self) -> &str {
        match self {
            Self::Listener(listener) => &listener.address,
            Self::Datagrams(socket) => &socket.address,
        }
    }

    /// Are both the same open socket?
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Listener(one), Self::Listener(other)) => Arc::ptr_eq(one, other),
            (Self::Datagrams(one), Self::Datagrams(other)) => Arc::ptr_eq(one, other),
            (Self::Listener(_), Self::Datagrams(_)) | (Self::Datagrams(_), Self::Listener(_)) => {
                false
            }
        }
    }

    /// Does it take connections, rather than datagrams?
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        matches!(self, Self::Listener(_))
    }

    /// Gives a Unix socket the mode and the group that the configuration says; who waits for it notices nothing.
    ///
    /// # Errors
    /// With what to do about it, for the operator.
    pub fn set_access(&self, wanted: &ListenAddress) -> Result<(), String> {
        let (ListenAddress::Unix(unix) | ListenAddress::Unixgram(unix)) = wanted else {
            return Ok(());
        };
        if self.origin() == Origin::Inherited {
            if unix.mode.is_some() || unix.group.is_some() {
                tracing::warn!(
                    address = %wanted,
                    "the socket is that of a socket unit, and so are its mode and group: write SocketMode= and \
                     SocketGroup= there"
                );
            }
            return Ok(());
        }
        let done = group(unix).and_then(|group| match self {
            Self::Listener(listener) => listener.socket.set_access(unix.mode, group),
            Self::Datagrams(listener) => listener.socket.set_access(unix.mode, group),
        });
        done.map_err(|error| {
            format!(
                "cannot give {wanted} its mode and group: {error}; the file must be the daemon's, and the daemon a \
                 member of the group"
            )
        })
    }

    /// Is it of somebody who has it still?
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.origin() == Origin::Inherited
    }

    /// Notes whether another process of the daemon has it too: then it is only let go of here.
    pub fn share(&self, shared: bool) {
        match self {
            Self::Listener(listener) => listener.share(shared),
            Self::Datagrams(listener) => listener.socket.share(shared),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Listener(listener) => listener.origin,
            Self::Datagrams(listener) => listener.socket.origin(),
        }
    }

    /// Lets the service manager keep it, under a name made of the address, so that it outlives a crash.
    pub fn store(&self, wanted: &ListenAddress, manager: &ServiceManager) {
        let Some(name) = fdstore_name(wanted) else {
            return;
        };
        if self.origin() == Origin::Inherited {
            return;
        }
        match self {
            Self::Listener(listener) => manager.store(&name, listener.socket.as_fd()),
            Self::Datagrams(listener) => manager.store(&name, listener.socket.as_fd()),
        }
    }

    /// To refuse who comes, should a worker hold on to it.
    #[must_use]
    pub fn weak(&self) -> Option<Weak<Listener>> {
        match self {
            Self::Listener(listener) => Some(Arc::downgrade(listener)),
            Self::Datagrams(_) => None,
        }
    }
}
