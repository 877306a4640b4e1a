//! Dialled streams. A dial ends in `open` or `on_dial_failed`, never inside the call that asked for it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::host_api::DialTarget;
use polyport_host::id::Kind;
use polyport_host::status::DialFailure;
use polyport_sys::epoll::Event;
use polyport_sys::{PeerAddress, Stream as Connection};

use super::watch;
use crate::core::dial::{fail, fail_late, failure, refused, unix};
use crate::core::{Core, PendingDial, arm};
use crate::object::{Flag, Object, Stream};
use crate::shut::release;
use crate::transport::Transport;

/// Begins to connect.
pub(super) fn begin(core: &Core, pending: PendingDial) {
    let PendingDial {
        service,
        group,
        dialled,
        dial,
        permit,
    } = pending;
    let (peer, connection) = match &dial.target {
        DialTarget::Stream(to) => (PeerAddress::Ip(*to), Connection::connect_tcp(*to, None)),
        DialTarget::Unix(path) => (unix(path), Connection::connect_unix(path)),
        DialTarget::Datagram(_) | DialTarget::Unixgram(_) => {
            let error = io::Error::from(io::ErrorKind::Unsupported);
            (PeerAddress::Unix(None), Err(error))
        }
    };
    let id = core.new_id(Kind::Stream, &service);
    let (connection, id) = match (connection, id) {
        (Ok(connection), Ok(id)) => (connection, id),
        (Err(error), id) => {
            if let Ok(id) = id {
                core.ids.remove(id);
            }
            core.give_back(permit);
            return fail(core, service, group, dialled, failure(&error));
        }
        (Ok(_), Err(refuse)) => {
            core.give_back(permit);
            return fail(core, service, group, dialled, refused(refuse));
        }
    };
    let object = Object::new(id, service, Arc::from(""), Some(dialled), Some(permit));
    let transport = Transport::plain(connection, &peer);
    let stream = Rc::new(Stream::new(object, transport, peer, core.clock.now()));
    let object = &stream.object;
    object.set(Flag::CONNECTING);
    stream.until.set(core.deadline_in(dial.timeout));
    if let Some(group) = group {
        group.join(id);
        group.end_dial();
        object.group.replace(Some(group));
    }
    if watch(core, &stream) {
        arm(core, &stream);
    } else {
        let service = Arc::clone(&object.service());
        fail_late(core, service, dialled, DialFailure::Full);
    }
}

/// An event of a connecting stream. Returns whether the stream is connected now; if it has failed, the dialler is
/// notified.
pub(super) fn is_connected(core: &Core, stream: &Rc<Stream>, event: Event) -> bool {
    if !event.writable && !event.error {
        return false;
    }
    let connection = stream.transport.connection();
    if let Err(error) = connection.connect_result() {
        give_up(core, stream, failure(&error));
        return false;
    }
    let object = &stream.object;
    object.clear(Flag::CONNECTING);
    // Without these options a dead peer is noticed by the idle timeout only.
    drop(connection.enable_keepalive());
    stream.opened.set(core.clock.now());
    stream.last_io.set(core.clock.now());
    if event.readable || event.read_closed {
        object.set(Flag::READABLE);
    }
    if event.read_closed {
        object.set(Flag::END_ANNOUNCED);
    }
    true
}

/// The dial was not connected in time.
pub(super) fn time_out(core: &Core, stream: &Rc<Stream>) {
    give_up(core, stream, DialFailure::Timeout);
}

/// The daemon or the instance ends.
pub(super) fn cancel(core: &Core, stream: &Rc<Stream>) {
    give_up(core, stream, DialFailure::Closing);
}

fn give_up(core: &Core, stream: &Rc<Stream>, why: DialFailure) {
    let object = &stream.object;
    let dialled = object.dialled.as_deref().copied();
    let service = Arc::clone(&object.service());
    release(core, stream);
    if let Some(dialled) = dialled {
        fail_late(core, service, dialled, why);
    }
}
