//! The trampolines of datagram sockets.

use std::ffi::c_void;

use polyport_abi::{
    PP_SF_WANT_TRUNCATED, PpAddr, PpDatagram, PpId, PpNanos, PpSocketInfo, PpSocketOps, PpStatus,
};

use super::enter::{begin, code, end, io};
use crate::address::Address;
use crate::datagram::{Batch, DrainSocket, Socket, SocketHandler};
use crate::end::End;
use crate::info::SocketInfo;
use crate::raw::size32;
use crate::status::Status;
use crate::time::Moment;

/// A socket whose datagrams all belong to flows.
pub(super) const SILENT: PpSocketOps = PpSocketOps {
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

/// The callbacks that every handler of datagrams has.
pub(super) const fn ops<H: SocketHandler>() -> PpSocketOps {
    PpSocketOps {
        struct_size: size32::<PpSocketOps>(),
        flags: if H::WANT_TRUNCATED {
            PP_SF_WANT_TRUNCATED
        } else {
            0
        },
        socket_open: Some(open::<H>),
        on_datagrams: Some(on_datagrams::<H>),
        on_writable: Some(on_writable::<H>),
        on_send_error: Some(on_send_error::<H>),
        on_wake: Some(on_wake::<H>),
        on_timer: Some(on_timer::<H>),
        on_drain: None,
        on_dial_failed: Some(on_dial_failed::<H>),
        socket_closed: Some(closed::<H>),
    }
}

/// The callback of [`DrainSocket`].
pub(super) type DrainOp = unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus;

unsafe extern "C" fn open<H: SocketHandler>(
    this: *mut c_void,
    id: PpId,
    info: *const PpSocketInfo,
    state: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends the info until this returns.
    let info = unsafe { SocketInfo::from_raw(info) };
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("socket_open", this, id, state, |handler: &H| {
            SocketHandler::open(handler, &mut Socket::new(id), &info)
        })
    }
}

unsafe extern "C" fn on_datagrams<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    first: *const PpDatagram,
    n: usize,
    stride: usize,
) -> PpStatus {
    // SAFETY: the host lends `n` datagrams, `stride` apart, until this returns.
    let Some(batch) = (unsafe { Batch::from_raw(first, n, stride) }) else {
        return Status::INVAL.code();
    };
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_datagrams",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_datagrams(handler, state, &mut Socket::new(id), batch)
            },
        )
    })
}

unsafe extern "C" fn on_writable<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_writable",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_writable(handler, state, &mut Socket::new(id))
            },
        )
    })
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
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_send_error",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_send_error(handler, state, &mut Socket::new(id), to, errno)
            },
        )
    })
}

unsafe extern "C" fn on_wake<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    bits: u64,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_wake",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_wake(handler, state, &mut Socket::new(id), bits)
            },
        )
    })
}

unsafe extern "C" fn on_timer<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    key: u32,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_timer",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_timer(handler, state, &mut Socket::new(id), key)
            },
        )
    })
}

pub(super) unsafe extern "C" fn on_drain<H: DrainSocket>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    deadline: PpNanos,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_drain",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                DrainSocket::on_drain(
                    handler,
                    state,
                    &mut Socket::new(id),
                    Moment::from_nanos(deadline),
                )
            },
        )
    })
}

unsafe extern "C" fn on_dial_failed<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    tag: u64,
    why: PpStatus,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, one callback of a socket at a time.
    code(unsafe {
        io(
            "on_dial_failed",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                SocketHandler::on_dial_failed(
                    handler,
                    state,
                    &mut Socket::new(id),
                    tag,
                    Status::refusal(why),
                )
            },
        )
    })
}

unsafe extern "C" fn closed<H: SocketHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    reason: u32,
) -> PpStatus {
    // SAFETY: the host passes what `socket_open` made, for the last time.
    unsafe {
        end(
            "socket_closed",
            (this, state, id),
            |handler: &H, state: H::State| {
                SocketHandler::closed(handler, state, &mut Socket::new(id), End(reason));
            },
        )
    }
}
