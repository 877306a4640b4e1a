//! Listening sockets for the addresses of a configuration: bound, or adopted when they were passed to this process.

use std::io;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use polyport_config::{ListenAddress, UnixAddress};
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::{
    InheritedSocket, PeerAddress, StreamListener, bind_tcp, bind_udp, bind_unix, bind_unixgram,
    lookup_group,
};

use crate::control::listen::activation::PassedSocket;
use crate::control::listen::fdstore::fdstore_name;
use crate::control::service_manager::ServiceManager;
use polyport_data::listen::{DatagramListener, Listener, Origin, OwnSocket};

/// Length of the accept queue; the kernel lowers it to its own bound.
const BACKLOG: i32 = 4096;
/// Receive buffer of UDP sockets, bytes: it keeps the datagrams that arrive while a worker is busy.
const RECEIVE_BUFFER: usize = 4 << 20;
/// How long a cold start retries an address in use: the previous process may be ending.
const COLD_START: Duration = Duration::from_secs(2);
/// Between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// An open listening socket.
#[derive(Debug, Clone)]
pub enum ListenSocket {
    /// Of connections; all workers accept from it.
    Streams(Arc<Listener>),
    /// Of datagrams; one worker receives from it.
    Datagrams(Arc<DatagramListener>),
}

/// Whether an address in use is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BindRetry {
    /// For a cold start.
    ColdStart,
    /// Not at all: the other process runs on.
    None,
}

/// Binds an address; `worker` is the number of the worker that a datagram socket goes to.
///
/// # Errors
/// Why, and what the operator can do.
pub async fn open(
    address: &ListenAddress,
    worker: u8,
    retry: BindRetry,
) -> Result<ListenSocket, String> {
    let until = Instant::now()
        + match retry {
            BindRetry::ColdStart => COLD_START,
            BindRetry::None => Duration::ZERO,
        };
    loop {
        match try_open(address, worker) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                tokio::time::sleep(RETRY_INTERVAL).await;
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
            log_granted(address, granted);
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

/// Adopts a socket that was passed by the service manager or by an old process; `shared` while the old process has it
/// too.
///
/// # Errors
/// Why, and what the operator can do.
pub fn adopt(
    address: &ListenAddress,
    claimed: PassedSocket,
    worker: u8,
    shared: bool,
) -> Result<ListenSocket, String> {
    let origin = if claimed.is_bound {
        Origin::Bound
    } else {
        Origin::Inherited
    };
    let opened = match claimed.socket {
        InheritedSocket::Stream(socket) => listener(socket, origin),
        InheritedSocket::Datagram(socket) => grow_buffer(&socket, address)
            .and_then(|granted| datagrams(socket, origin, worker, granted)),
        InheritedSocket::Other { why } => Err(io::Error::other(why)),
    };
    let opened = opened.map_err(|error| explain(address, &error))?;
    opened.set_shared(shared);
    opened.set_access(address)?;
    Ok(opened)
}

/// Grows the receive buffer of a UDP socket, and returns what was granted. A Unix socket has no buffer of its own.
fn grow_buffer(socket: &DatagramSocket, address: &ListenAddress) -> io::Result<Option<usize>> {
    let PeerAddress::Ip(_) = socket.local_address()? else {
        return Ok(None);
    };
    let granted = socket.grow_receive_buffer(RECEIVE_BUFFER)?;
    log_granted(address, granted);
    Ok(Some(granted))
}

fn log_granted(address: &ListenAddress, granted: usize) {
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

fn listener(socket: StreamListener, origin: Origin) -> io::Result<ListenSocket> {
    let local = socket.local_address()?;
    let scheme = if matches!(local, PeerAddress::Ip(_)) {
        "tcp"
    } else {
        "unix"
    };
    let address = url(scheme, &local);
    let one_for_all = !matches!(&local, PeerAddress::Ip(ip) if ip.ip().is_unspecified());
    let local = one_for_all.then_some(local);
    if let Err(error) = socket.enable_keepalive() {
        drop(socket.unlink());
        return Err(error);
    }
    let listener = Listener::new(address, local, socket, origin);
    Ok(ListenSocket::Streams(Arc::new(listener)))
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
        address: url(scheme, &local),
        socket,
        worker,
        granted,
        dropped_by_kernel: AtomicU32::new(0),
    })))
}

fn url(scheme: &str, local: &PeerAddress) -> String {
    match local {
        PeerAddress::Ip(ip) => format!("{scheme}://{ip}"),
        PeerAddress::Unix(name) => {
            let name = name.as_deref().unwrap_or_default();
            format!("{scheme}://{}", String::from_utf8_lossy(name))
        }
    }
}

/// The error, and what the operator can do.
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
    /// The address as a URL, for the log and for listings.
    pub fn address(&self) -> &str {
        match self {
            Self::Streams(listener) => &listener.address,
            Self::Datagrams(socket) => &socket.address,
        }
    }

    /// Returns whether both are the same open socket.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Streams(one), Self::Streams(other)) => Arc::ptr_eq(one, other),
            (Self::Datagrams(one), Self::Datagrams(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Gives a Unix socket the configured mode and group, without effect on queued connections.
    ///
    /// # Errors
    /// Why, and what the operator can do.
    pub fn set_access(&self, address: &ListenAddress) -> Result<(), String> {
        let (ListenAddress::Unix(unix) | ListenAddress::Unixgram(unix)) = address else {
            return Ok(());
        };
        if self.origin() == Origin::Inherited {
            if unix.mode.is_some() || unix.group.is_some() {
                tracing::warn!(
                    %address,
                    "the socket is that of a socket unit, and so are its mode and group: write SocketMode= and \
                     SocketGroup= there"
                );
            }
            return Ok(());
        }
        let done = group(unix).and_then(|group| match self {
            Self::Streams(listener) => listener.socket.set_access(unix.mode, group),
            Self::Datagrams(listener) => listener.socket.set_access(unix.mode, group),
        });
        done.map_err(|error| {
            format!(
                "cannot give {address} its mode and group: {error}; the file must be the daemon's, and the daemon a \
                 member of the group"
            )
        })
    }

    /// Returns whether the socket belongs to a socket unit.
    pub fn is_inherited(&self) -> bool {
        self.origin() == Origin::Inherited
    }

    /// Sets whether another process of the daemon has the socket too: then only this copy is closed, and the file stays.
    pub fn set_shared(&self, shared: bool) {
        match self {
            Self::Streams(listener) => listener.share(shared),
            Self::Datagrams(listener) => listener.socket.share(shared),
        }
    }

    fn origin(&self) -> Origin {
        match self {
            Self::Streams(listener) => listener.origin,
            Self::Datagrams(listener) => listener.socket.origin(),
        }
    }

    /// Stores a copy with the service manager, under a name made of the address, so that the socket outlives a crash.
    pub fn store(&self, address: &ListenAddress, manager: &ServiceManager) {
        let Some(name) = fdstore_name(address) else {
            return;
        };
        if self.origin() == Origin::Inherited {
            return;
        }
        match self {
            Self::Streams(listener) => manager.store(&name, listener.socket.as_fd()),
            Self::Datagrams(listener) => manager.store(&name, listener.socket.as_fd()),
        }
    }
}
