//! The table and the trampolines of streams.

use std::ffi::c_void;

use polyport_abi::{
    PP_DATA_FIN, PpId, PpNanos, PpSink, PpSource, PpStatus, PpStreamInfo, PpStreamOps,
};

use super::enter::{begin, code, end, io};
use super::object::{Context, Kept, MigrateOps, callback, closed, open};
use crate::end::End;
use crate::info::StreamInfo;
use crate::raw::{borrow_parts, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::Status;
use crate::stream::{DrainStream, Input, MigrateStream, Stream, StreamHandler};
use crate::time::Moment;

/// The table without the callbacks of [`DrainStream`] and [`MigrateStream`].
pub(super) const fn ops<H: StreamHandler>() -> PpStreamOps {
    PpStreamOps {
        struct_size: size32::<PpStreamOps>(),
        reserved: 0,
        open: Some(open::<H>),
        on_data: Some(on_data::<H>),
        on_writable: Some(on_writable::<H>),
        on_wake: Some(on_wake::<H>),
        on_timer: Some(on_timer::<H>),
        on_drain: None,
        on_dial_failed: Some(on_dial_failed::<H>),
        export_state: None,
        import_state: None,
        closed: Some(closed::<H>),
    }
}

pub(super) const fn migrate<H: MigrateStream>() -> MigrateOps<PpStreamInfo> {
    (Some(export_state::<H>), Some(import_state::<H>))
}

open!("open", Stream, StreamHandler::open() => StreamInfo);
callback!(Stream, StreamHandler::on_writable() =>);
callback!(Stream, StreamHandler::on_wake(bits: u64) => bits);
callback!(Stream, StreamHandler::on_timer(key: u32) => key);
callback!(Stream, DrainStream::on_drain(deadline: PpNanos) => Moment::from_nanos(deadline));
callback!(Stream, StreamHandler::on_dial_failed(tag: u64, why: PpStatus) =>
    tag, Status::refusal(why));
callback!(Stream, MigrateStream::export_state(to: *mut PpSink) => &mut StateWriter::from_raw(to));
open!("import_state", Stream, MigrateStream::import_state(version: u32, from: *mut PpSource) =>
    StreamInfo, version, &mut StateReader::from_raw(from));
closed!("closed", Stream, StreamHandler);

unsafe extern "C" fn on_data<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    bytes: *const u8,
    n: usize,
    flags: u32,
    want: *mut usize,
) -> i64 {
    // SAFETY: the host lends `n` bytes until this returns.
    let bytes = unsafe { borrow_parts(bytes, n) };
    let input = Input::new(bytes, flags & PP_DATA_FIN != 0);
    let body = |handler: &H, kept: &mut Kept<Stream<'static>, H::State>| {
        StreamHandler::on_data(handler, &mut kept.state, &mut Stream::new(id), input)
    };
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    match unsafe { io("on_data", (this, state, id), body) } {
        Ok(used) => {
            // SAFETY: the host lends `want` to be written.
            unsafe { *want = used.want };
            i64::try_from(used.bytes).unwrap_or(i64::MAX)
        }
        Err(code) => i64::from(code),
    }
}
