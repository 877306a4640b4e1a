//! Dialling: streams and datagram sockets that a handler asks for. They live on the worker of who asked, belong to
//! its family, and end in `open`, `socket_open` or `on_dial_failed`, never inside the call that asked.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::callbacks::Notice;
use polyport_host::host_api::{Dial, DialTarget};
use polyport_host::id::{Id, Kind};
use polyport_host::status::{DialFailure, HostError};
use polyport_host::stream::DialOrigin;
use polyport_sys::datagrams::DatagramSocket;
use polyport_sys::epoll::Event;
use polyport_sys::{PeerAddress, Stream as Connection};

use super::Engine;
use super::stream::{Flag, Parts, Stream};
use super::table::Entity;
use crate::service::Service;
use crate::shut::Reason;
use polyport_common::shutdown::Phase;

/// What waits for the end of the running callback.
#[derive(Debug)]
pub(super) enum Later {
    /// A dialled socket opens.
    OpenSocket(Id),
    /// A dial came to nothing.
    DialFailed(Arc<Service>, DialOrigin, DialFailure),
    /// The system refused a datagram.
    SendError(Id, PeerAddress, i32),
    /// A handler closes a socket or a flow.
    Close(Id),
    /// A callback about a socket panicked.
    Poisoned(Id),
    /// A send was cut short by what cannot be sent: the handler may go on.
    Writable(Id),
}

/// Above so many that wait in one turn no more dials are taken, nor words of datagrams that were refused.
const LATER_MAX: usize = 4096;

impl Engine {
    pub(super) fn later(&self, what: Later) {
        self.later.borrow_mut().push_back(what);
    }

    /// Is so much waiting that a handler gets no more of its own doing?
    pub(super) fn is_later_full(&self) -> bool {
        self.later.borrow().len() >= LATER_MAX
    }

    /// Does what waited for the end of callbacks.
    pub(super) fn do_later(&self) {
        let count = self.later.borrow().len();
        for _ in 0..count {
            let next = self.later.borrow_mut().pop_front();
            let Some(next) = next else { return };
            match self.aside_later(next) {
                Some(Later::OpenSocket(id)) => self.open_dialled_socket(id),
                Some(Later::DialFailed(service, dialled, why)) => {
                    self.tell_dial_failed(&service, dialled, why);
                }
                Some(Later::SendError(id, to, errno)) => self.tell_send_error(id, &to, errno),
                Some(Later::Writable(id)) => {
                    if let Some(Entity::Socket(socket)) = self.table.get(id) {
                        self.socket_writable(&socket);
                    }
                }
                Some(Later::Poisoned(id)) => {
                    if let Some(Entity::Socket(socket)) = self.table.get(id) {
                        self.renew_socket(&socket);
                    }
                }
                Some(Later::Close(id)) => match self.table.get(id) {
                    Some(Entity::Socket(socket)) => self.close_socket(&socket, Reason::Handler),
                    Some(Entity::Flow(flow)) => self.close_flow(&flow, Reason::Handler),
                    Some(Entity::Stream(_)) | None => {}
                },
                None => {}
            }
        }
    }

    /// Starts a dial for something that lives here.
    pub(super) fn dial_for(&self, owner: &Entity, dial: Dial) -> Result<(), HostError> {
        let (service, family) = match owner {
            Entity::Stream(stream) => (stream.service(), stream.family),
            Entity::Socket(socket) => (socket.service(), socket.family),
            Entity::Flow(flow) => (flow.service(), flow.socket().family),
        };
        let dialled = DialOrigin {
            parent: owner.id(),
            tag: dial.tag,
        };
        self.start_dial(Arc::clone(&service), Some(family), dialled, dial)
    }

    /// Starts a dial for an instance.
    pub(super) fn dial_for_instance(&self, service: Arc<Service>, dial: Dial) {
        if self.is_frozen(&service.instance) {
            return;
        }
        let dialled = DialOrigin {
            parent: service.instance.id(),
            tag: dial.tag,
        };
        let hook_thread = Arc::clone(&service.hook_thread);
        if let Err(refuse) = self.start_dial(service, None, dialled, dial) {
            hook_thread.dial_failed(dialled.tag, refused(refuse));
        }
    }

    fn start_dial(
        &self,
        service: Arc<Service>,
        family: Option<Id>,
        dialled: DialOrigin,
        dial: Dial,
    ) -> Result<(), HostError> {
        if matches!(self.phase.get(), Some(Phase::Force)) {
            return Err(HostError::Closing);
        }
        if self.is_later_full() {
            return Err(HostError::Full);
        }
        let permit = service.permits.take().ok_or(HostError::Full)?;
        let (peer, connection) = match &dial.target {
            DialTarget::Stream(to) => (PeerAddress::Ip(*to), Connection::connect_tcp(*to, None)),
            DialTarget::Unix(path) => (unix(path), Connection::connect_unix(path)),
            DialTarget::Datagram(to) => {
                let socket = DatagramSocket::connect_udp(*to);
                return self.dialled_socket(
                    service,
                    family,
                    dialled,
                    (PeerAddress::Ip(*to), socket, permit),
                );
            }
            DialTarget::Unixgram(path) => {
                let socket = DatagramSocket::connect_unixgram(path);
                return self.dialled_socket(service, family, dialled, (unix(path), socket, permit));
            }
        };
        let socket = match connection {
            Ok(socket) => socket,
            Err(error) => {
                self.give_back(permit);
                self.later(Later::DialFailed(service, dialled, failure(&error)));
                return Ok(());
            }
        };
        let id = match self.ids.add(Kind::Stream, service.instance.index()) {
            Ok(id) => id,
            Err(refuse) => {
                self.give_back(permit);
                return Err(refuse);
            }
        };
        let stream = Stream::new(Parts {
            id,
            family: family.unwrap_or(id),
            socket,
            peer,
            service,
            listener: Arc::from(""),
            dialled: Some(dialled),
            permit: Some(permit),
            now: self.clock.now(),
        });
        stream.set(Flag::CONNECTING);
        stream
            .until
            .set(self.clock.now().saturating_add(nanos(dial.timeout)));
        if self.enter(&stream) {
            self.arm(&stream);
            Ok(())
        } else {
            Err(HostError::Full)
        }
    }

    /// A connecting stream has news.
    pub(super) fn connected(&self, stream: &Rc<Stream>, event: Event) {
        if !event.writable && !event.error {
            return;
        }
        if let Err(error) = stream.socket.connect_result() {
            return self.give_up_dial(stream, failure(&error));
        }
        stream.clear(Flag::CONNECTING);
        // Without these options a dead peer is noticed by the idle timeout only.
        drop(stream.socket.enable_keepalive());
        stream.opened.set(self.clock.now());
        stream.last_io.set(self.clock.now());
        if event.readable || event.read_closed {
            stream.set(Flag::READABLE);
        }
        if event.read_closed {
            stream.set(Flag::END_ANNOUNCED);
        }
        self.opened(stream, None);
        self.place_again(stream);
    }

    pub(super) fn dial_timed_out(&self, stream: &Rc<Stream>) {
        self.give_up_dial(stream, DialFailure::Timeout);
    }

    pub(super) fn give_up_dial(&self, stream: &Rc<Stream>, why: DialFailure) {
        self.release(stream);
        if let Some(dialled) = stream.dialled {
            self.later(Later::DialFailed(
                Arc::clone(&stream.service()),
                dialled,
                why,
            ));
        }
    }

    fn tell_dial_failed(&self, service: &Arc<Service>, dialled: DialOrigin, why: DialFailure) {
        let DialOrigin { parent, tag } = dialled;
        if self.is_frozen(&service.instance) {
            return;
        }
        let notice = Notice::DialFailed { tag, why };
        match self.table.get(parent) {
            Some(Entity::Stream(stream)) if !stream.has(Flag::ENDED) => {
                self.serve(&stream, |stream| {
                    let service = stream.service();
                    let instance = &service.instance;
                    let said = instance.notify(parent, stream.state.get(), notice);
                    self.told(stream, "on_dial_failed", said);
                });
            }
            Some(Entity::Socket(socket)) => {
                let service = socket.service();
                let instance = &service.instance;
                let said = instance.notify(parent, socket.state.get(), notice);
                self.socket_told(&socket, "on_dial_failed", said);
            }
            Some(Entity::Flow(flow)) => {
                let service = flow.service();
                let instance = &service.instance;
                let said = instance.notify(parent, flow.state.get(), notice);
                self.flow_told(&flow, "on_dial_failed", said);
            }
            Some(Entity::Stream(_)) | None => {
                if parent == service.instance.id() {
                    service.hook_thread.dial_failed(tag, why);
                }
            }
        }
    }
}

fn unix(path: &std::path::Path) -> PeerAddress {
    use std::os::unix::ffi::OsStrExt;
    PeerAddress::Unix(Some(path.as_os_str().as_bytes().to_vec()))
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What it means to a handler that a dial was not begun.
pub(super) fn refused(refuse: HostError) -> DialFailure {
    match refuse {
        HostError::Full => DialFailure::Full,
        HostError::Closing => DialFailure::Closing,
        _ => DialFailure::Failed,
    }
}

/// What an error of connect means to a handler.
pub(super) fn failure(error: &io::Error) -> DialFailure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => DialFailure::Refused,
        io::ErrorKind::TimedOut => DialFailure::Timeout,
        io::ErrorKind::NotFound
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::AddrNotAvailable => DialFailure::Unreachable,
        io::ErrorKind::OutOfMemory | io::ErrorKind::AddrInUse => DialFailure::Full,
        // EMFILE and ENFILE have no kind of their own.
        _ if matches!(error.raw_os_error(), Some(23 | 24)) => DialFailure::Full,
        _ => DialFailure::Failed,
    }
}
