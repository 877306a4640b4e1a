//! Dials, from the host call to the result: who dialled what, and what a failure means.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::host_api::Dial;
use polyport_host::id::Kind;
use polyport_host::status::{DialFailure, HostError};
use polyport_host::stream::DialOrigin;
use polyport_sys::PeerAddress;

use super::{Cause, Core, FailedDial, PendingDial, Work};
use crate::object::{Entity, Group, Object};
use crate::service::Service;

/// Queues a dial of an object, or of an instance.
///
/// # Errors
/// Closing at a forced stop; Full at the limit of streams, or when too much is queued.
pub(crate) fn begin(
    core: &Core,
    owner: Option<&Entity>,
    service: Arc<Service>,
    dialled: DialOrigin,
    dial: Dial,
) -> Result<(), HostError> {
    if core.is_forced() {
        return Err(HostError::Closing);
    }
    if core.ready.is_full() {
        return Err(HostError::Full);
    }
    let permit = service.permits.take().ok_or(HostError::Full)?;
    let group = owner.map(count);
    core.ready.push(Work::Dial(Box::new(PendingDial {
        service,
        group,
        dialled,
        dial,
        permit,
    })));
    Ok(())
}

/// One more dial of this object is under way; returns the group that the result will join.
fn count(owner: &Entity) -> Rc<Group> {
    let dials = &owner.object().dials;
    dials.set(dials.get() + 1);
    let group = group_of(owner);
    group.begin_dial();
    group
}

/// A pending dial has failed: queues the notification.
pub(crate) fn fail(
    core: &Core,
    service: Arc<Service>,
    group: Option<Rc<Group>>,
    dialled: DialOrigin,
    why: DialFailure,
) {
    core.ready.push(Work::DialFailed(Box::new(FailedDial {
        service,
        group,
        dialled,
        why,
    })));
}

/// A dial has failed that was refused when an import asked for it, or whose stream or socket is gone by now: queues the
/// notification.
pub(crate) fn fail_late(core: &Core, service: Arc<Service>, dialled: DialOrigin, why: DialFailure) {
    let group = core.table.get(dialled.parent).map(|owner| count(&owner));
    fail(core, service, group, dialled, why);
}

/// The failure of a dial was notified.
pub(crate) fn end_failed(core: &Core, failed: &FailedDial) {
    end(core, failed.dialled);
    if let Some(group) = &failed.group {
        group.end_dial();
        settle_root(core, group);
    }
}

/// The result of a dial is gone.
pub(super) fn end(core: &Core, dialled: DialOrigin) {
    if let Some(owner) = core.table.get(dialled.parent) {
        let dials = &owner.object().dials;
        dials.set(dials.get().saturating_sub(1));
    }
}

/// A superseded socket may have waited for the last of its group.
pub(super) fn settle_root(core: &Core, group: &Group) {
    if group.root.kind() == Some(Kind::Socket) && group.is_root_alone() {
        core.queue(group.root, Cause::Settle);
    }
}

/// The group of an object, made if it has none. A flow is of the group of its socket.
fn group_of(owner: &Entity) -> Rc<Group> {
    let of = |object: &Object| {
        let mut group = object.group.borrow_mut();
        Rc::clone(group.get_or_insert_with(|| Rc::new(Group::new(object.id))))
    };
    match owner {
        Entity::Flow(flow) => of(&flow.socket().object),
        Entity::Stream(_) | Entity::Socket(_) => of(owner.object()),
    }
}

/// The address of a Unix socket.
pub(crate) fn unix(path: &Path) -> PeerAddress {
    PeerAddress::Unix(Some(path.as_os_str().as_bytes().to_vec()))
}

/// What it means to a handler that a dial was not begun.
pub(crate) fn refused(refuse: HostError) -> DialFailure {
    match refuse {
        HostError::Full => DialFailure::Full,
        HostError::Closing => DialFailure::Closing,
        _ => DialFailure::Failed,
    }
}

/// What an error of connect means to a handler.
pub(crate) fn failure(error: &io::Error) -> DialFailure {
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
