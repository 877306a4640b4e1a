//! Streams: the table, and the callbacks that only they have.

use std::ffi::c_void;
use std::marker::PhantomData;

use polyport_abi::{PP_DATA_FIN, PpId, PpStatus, PpStreamInfo, PpStreamOps};

use super::enter::io;
use super::object::{self, Drain, Kind, Migrate, notify};
use crate::end::End;
use crate::info::StreamInfo;
use crate::raw::{borrow_parts, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::stream::{DrainStream, Input, MigrateStream, Stream, StreamHandler};
use crate::time::Moment;

/// The streams of a handler.
pub(super) struct Streams<H>(PhantomData<H>);

/// The table without the callbacks of optional traits.
pub(super) const fn ops<H: StreamHandler>() -> PpStreamOps {
    PpStreamOps {
        struct_size: size32::<PpStreamOps>(),
        reserved: 0,
        open: Some(object::open::<Streams<H>>),
        on_data: Some(on_data::<H>),
        on_writable: Some(on_writable::<H>),
        on_wake: Some(object::on_wake::<Streams<H>>),
        on_timer: Some(object::on_timer::<Streams<H>>),
        on_drain: None,
        on_dial_failed: Some(object::on_dial_failed::<Streams<H>>),
        export_state: None,
        import_state: None,
        closed: Some(object::closed::<Streams<H>>),
    }
}

impl<H: StreamHandler> Kind for Streams<H> {
    type Handler = H;
    type Info = PpStreamInfo;
    type Kept = H::State;
    const OPEN: &'static str = "open";

    fn open(handler: &H, id: PpId, info: &PpStreamInfo) -> Result<H::State> {
        StreamHandler::open(handler, &mut Stream::new(id), &StreamInfo(info))
    }
    fn on_wake(handler: &H, state: &mut H::State, id: PpId, bits: u64) -> Result<()> {
        StreamHandler::on_wake(handler, state, &mut Stream::new(id), bits)
    }
    fn on_timer(handler: &H, state: &mut H::State, id: PpId, key: u32) -> Result<()> {
        StreamHandler::on_timer(handler, state, &mut Stream::new(id), key)
    }
    fn on_dial_failed(
        handler: &H,
        state: &mut H::State,
        id: PpId,
        (tag, why): (u64, Status),
    ) -> Result<()> {
        StreamHandler::on_dial_failed(handler, state, &mut Stream::new(id), tag, why)
    }
    fn closed(handler: &H, state: H::State, id: PpId, reason: End) {
        StreamHandler::closed(handler, state, &mut Stream::new(id), reason);
    }
}

impl<H: DrainStream> Drain for Streams<H> {
    fn on_drain(handler: &H, state: &mut H::State, id: PpId, by: Moment) -> Result<()> {
        DrainStream::on_drain(handler, state, &mut Stream::new(id), by)
    }
}

impl<H: MigrateStream> Migrate for Streams<H> {
    fn export_state(
        handler: &H,
        state: &mut H::State,
        id: PpId,
        to: &mut StateWriter<'_>,
    ) -> Result<()> {
        MigrateStream::export_state(handler, state, &mut Stream::new(id), to)
    }
    fn import_state(
        handler: &H,
        (id, info): (PpId, &PpStreamInfo),
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<H::State> {
        let (mut stream, info) = (Stream::new(id), StreamInfo(info));
        MigrateStream::import_state(handler, &mut stream, &info, version, from)
    }
}

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
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    let used = unsafe {
        io("on_data", (this, state, id), |h: &H, state| {
            StreamHandler::on_data(h, state, &mut Stream::new(id), input)
        })
    };
    match used {
        Ok(used) => {
            // SAFETY: the host lends `want` to be written.
            unsafe { *want = used.want };
            i64::try_from(used.bytes).unwrap_or(i64::MAX)
        }
        Err(code) => i64::from(code),
    }
}

unsafe extern "C" fn on_writable<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    unsafe {
        notify::<Streams<H>>("on_writable", (this, state, id), |h, state| {
            StreamHandler::on_writable(h, state, &mut Stream::new(id))
        })
    }
}
