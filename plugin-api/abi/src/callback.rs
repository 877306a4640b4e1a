//! Types of the callbacks that streams, sockets and flows share. The headers write them out in each
//! table; they are one type each.

use core::ffi::c_void;

use crate::datagram::PpDatagram;
use crate::types::{PpId, PpSource, PpStatus};

/// Opens an object: `self`, id, info, place for the state.
pub type PpOpen<Info> =
    Option<unsafe extern "C" fn(*mut c_void, PpId, *const Info, *mut *mut c_void) -> PpStatus>;

/// Opens an object with exported state: `self`, id, info, version, state, place for the state.
pub type PpImport<Info> = Option<
    unsafe extern "C" fn(
        *mut c_void,
        PpId,
        *const Info,
        u32,
        *mut PpSource,
        *mut *mut c_void,
    ) -> PpStatus,
>;

/// A callback without an argument of its own: `self`, state, id.
pub type PpNotify = Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId) -> PpStatus>;

/// A callback with one argument: bits of a wake, key of a timer, deadline, sink or reason.
pub type PpCallback<Arg> =
    Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, Arg) -> PpStatus>;

/// A callback with two arguments: tag and status of a failed dial, address and errno of a failed
/// send.
pub type PpCallback2<A, B> =
    Option<unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, A, B) -> PpStatus>;

/// A batch of datagrams: `self`, state, id, first element, number, stride.
pub type PpOnDatagrams = Option<
    unsafe extern "C" fn(
        *mut c_void,
        *mut c_void,
        PpId,
        *const PpDatagram,
        usize,
        usize,
    ) -> PpStatus,
>;
