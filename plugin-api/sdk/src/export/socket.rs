//! Datagram sockets: the table, and the callbacks that only they have.

use std::ffi::c_void;
use std::marker::PhantomData;

use polyport_abi::{PP_SF_WANT_TRUNCATED, PpAddr, PpId, PpSocketInfo, PpSocketOps, PpStatus};

use super::object::{self, Drain, Kind, Receive, notify};
use crate::address::Address;
use crate::datagram::{Batch, DrainSocket, Socket, SocketHandler};
use crate::end::End;
use crate::info::SocketInfo;
use crate::raw::size32;
use crate::status::{Result, Status};
use crate::time::Moment;

/// The datagram sockets of a handler.
pub(super) struct Sockets<H>(PhantomData<H>);

/// The table of a handler that serves flows only.
pub(super) const NO_OPS: PpSocketOps = PpSocketOps {
    struct_size: size32::<PpSocketOps>(),
    flags: 0,
    socket_open: None,
    on_datagrams: None,
    on_writable: None,
    on_send_error: None,
    on_wake: None,
    on_timer: None,
    on_drain: None,
    on_dial_failed: None,
    socket_closed: None,
};

/// The table without the callback of [`DrainSocket`].
pub(super) const fn ops<H: SocketHandler>() -> PpSocketOps {
    PpSocketOps {
        flags: if H::WANT_TRUNCATED {
            PP_SF_WANT_TRUNCATED
        } else {
            0
        },
        socket_open: Some(object::open::<Sockets<H>>),
        on_datagrams: Some(object::on_datagrams::<Sockets<H>>),
        on_writable: Some(on_writable::<H>),
        on_send_error: Some(on_send_error::<H>),
        on_wake: Some(object::on_wake::<Sockets<H>>),
        on_timer: Some(object::on_timer::<Sockets<H>>),
        on_dial_failed: Some(object::on_dial_failed::<Sockets<H>>),
        socket_closed: Some(object::closed::<Sockets<H>>),
        ..NO_OPS
    }
}

impl<H: SocketHandler> Kind for Sockets<H> {
    type Handler = H;
    type Info = PpSocketInfo;
    type Kept = H::State;
    const OPEN: &'static str = "socket_open";
    const CLOSED: &'static str = "socket_closed";

    fn open(handler: &H, id: PpId, info: &PpSocketInfo) -> Result<H::State> {
        SocketHandler::open(handler, &mut Socket::new(id), &SocketInfo(info))
    }
    fn on_wake(handler: &H, state: &mut H::State, id: PpId, bits: u64) -> Result<()> {
        SocketHandler::on_wake(handler, state, &mut Socket::new(id), bits)
    }
    fn on_timer(handler: &H, state: &mut H::State, id: PpId, key: u32) -> Result<()> {
        SocketHandler::on_timer(handler, state, &mut Socket::new(id), key)
    }
    fn on_dial_failed(
        handler: &H,
        state: &mut H::State,
        id: PpId,
        (tag, why): (u64, Status),
    ) -> Result<()> {
        SocketHandler::on_dial_failed(handler, state, &mut Socket::new(id), tag, why)
    }
    fn closed(handler: &H, state: H::State, id: PpId, reason: End) {
        SocketHandler::closed(handler, state, &mut Socket::new(id), reason);
    }
}

impl<H: SocketHandler> Receive for Sockets<H> {
    fn on_datagrams(handler: &H, state: &mut H::State, id: PpId, batch: Batch<'_>) -> Result<()> {
        SocketHandler::on_datagrams(handler, state, &mut Socket::new(id), batch)
    }
}

impl<H: DrainSocket> Drain for Sockets<H> {
    fn on_drain(handler: &H, state: &mut H::State, id: PpId, by: Moment) -> Result<()> {
        DrainSocket::on_drain(handler, state, &mut Socket::new(id), by)
    }
}

unsafe extern "C" fn on_writable<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a socket at a time.
    unsafe {
        notify::<Sockets<H>>("on_writable", (this, state, id), |h, state| {
            SocketHandler::on_writable(h, state, &mut Socket::new(id))
        })
    }
}

unsafe extern "C" fn on_send_error<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    to: *const PpAddr,
    errno: i32,
) -> PpStatus {
    // SAFETY: the host lends the address until this returns.
    let to = Address(unsafe { to.as_ref() }.copied().unwrap_or_default());
    // SAFETY: the host passes what `open` made, one callback of a socket at a time.
    unsafe {
        notify::<Sockets<H>>("on_send_error", (this, state, id), |h, state| {
            SocketHandler::on_send_error(h, state, &mut Socket::new(id), to, errno)
        })
    }
}
