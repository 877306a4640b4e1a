//! The table and the trampolines of datagram sockets.

use std::ffi::c_void;

use polyport_abi::{
    PP_SF_WANT_TRUNCATED, PpAddr, PpDatagram, PpId, PpNanos, PpSocketOps, PpStatus,
};

use super::enter::{begin, code, end, io};
use super::object::{Context, Kept, callback, closed, open};
use crate::address::Address;
use crate::datagram::{Batch, DrainSocket, Socket, SocketHandler};
use crate::end::End;
use crate::info::SocketInfo;
use crate::raw::size32;
use crate::status::Status;
use crate::time::Moment;

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
        socket_open: Some(open::<H>),
        on_datagrams: Some(on_datagrams::<H>),
        on_writable: Some(on_writable::<H>),
        on_send_error: Some(on_send_error::<H>),
        on_wake: Some(on_wake::<H>),
        on_timer: Some(on_timer::<H>),
        on_dial_failed: Some(on_dial_failed::<H>),
        socket_closed: Some(closed::<H>),
        ..NO_OPS
    }
}

open!("socket_open", Socket, SocketHandler::open() => SocketInfo);
callback!(Socket, SocketHandler::on_datagrams(first: *const PpDatagram, n: usize, stride: usize) =>
    Batch::from_raw(first, n, stride).ok_or(Status::INVAL)?);
callback!(Socket, SocketHandler::on_writable() =>);
callback!(Socket, SocketHandler::on_send_error(to: *const PpAddr, errno: i32) =>
    Address(to.as_ref().copied().unwrap_or_default()), errno);
callback!(Socket, SocketHandler::on_wake(bits: u64) => bits);
callback!(Socket, SocketHandler::on_timer(key: u32) => key);
callback!(Socket, DrainSocket::on_drain(deadline: PpNanos) => Moment::from_nanos(deadline));
callback!(Socket, SocketHandler::on_dial_failed(tag: u64, why: PpStatus) =>
    tag, Status::refusal(why));
closed!("socket_closed", Socket, SocketHandler);
