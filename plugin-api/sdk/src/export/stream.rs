//! The trampolines of streams.

use std::ffi::c_void;

use polyport_abi::{
    PP_DATA_FIN, PpId, PpNanos, PpSink, PpSource, PpStatus, PpStreamInfo, PpStreamOps,
};

use super::enter::{begin, code, end, io};
use crate::end::End;
use crate::info::StreamInfo;
use crate::raw::{borrow_parts, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::Status;
use crate::stream::{DrainStream, Input, MigrateStream, Stream, StreamHandler};
use crate::time::Moment;

/// The callbacks that every handler of streams has.
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

/// The callback of [`DrainStream`].
pub(super) type DrainOp = unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, PpNanos) -> PpStatus;

/// The callbacks of [`MigrateStream`].
#[derive(Clone, Copy, Debug)]
pub struct MigrateOps {
    pub(super) export: Export,
    pub(super) import: Import,
}

type Export = unsafe extern "C" fn(*mut c_void, *mut c_void, PpId, *mut PpSink) -> PpStatus;
type Import = unsafe extern "C" fn(
    *mut c_void,
    PpId,
    *const PpStreamInfo,
    u32,
    *mut PpSource,
    *mut *mut c_void,
) -> PpStatus;

pub(super) const fn migrate<H: MigrateStream>() -> MigrateOps {
    MigrateOps {
        export: export_state::<H>,
        import: import_state::<H>,
    }
}

unsafe extern "C" fn open<H: StreamHandler>(
    this: *mut c_void,
    id: PpId,
    info: *const PpStreamInfo,
    state: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends the info until this returns.
    let info = unsafe { StreamInfo::from_raw(info) };
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("open", this, id, state, |handler: &H| {
            StreamHandler::open(handler, &mut Stream::new(id), &info)
        })
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
        io(
            "on_data",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                StreamHandler::on_data(handler, state, &mut Stream::new(id), input)
            },
        )
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
    code(unsafe {
        io(
            "on_writable",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                StreamHandler::on_writable(handler, state, &mut Stream::new(id))
            },
        )
    })
}

unsafe extern "C" fn on_wake<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    bits: u64,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    code(unsafe {
        io(
            "on_wake",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                StreamHandler::on_wake(handler, state, &mut Stream::new(id), bits)
            },
        )
    })
}

unsafe extern "C" fn on_timer<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    key: u32,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    code(unsafe {
        io(
            "on_timer",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                StreamHandler::on_timer(handler, state, &mut Stream::new(id), key)
            },
        )
    })
}

pub(super) unsafe extern "C" fn on_drain<H: DrainStream>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    deadline: PpNanos,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    code(unsafe {
        io(
            "on_drain",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                DrainStream::on_drain(
                    handler,
                    state,
                    &mut Stream::new(id),
                    Moment::from_nanos(deadline),
                )
            },
        )
    })
}

unsafe extern "C" fn on_dial_failed<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    tag: u64,
    why: PpStatus,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    code(unsafe {
        io(
            "on_dial_failed",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                StreamHandler::on_dial_failed(
                    handler,
                    state,
                    &mut Stream::new(id),
                    tag,
                    Status::refusal(why),
                )
            },
        )
    })
}

unsafe extern "C" fn export_state<H: MigrateStream>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    to: *mut PpSink,
) -> PpStatus {
    // SAFETY: the host lends the sink until this returns.
    let mut to = unsafe { StateWriter::from_raw(to) };
    // SAFETY: the host passes what `open` made, one callback of a stream at a time.
    code(unsafe {
        io(
            "export_state",
            (this, state, id),
            |handler: &H, state: &mut H::State| {
                MigrateStream::export_state(handler, state, &mut Stream::new(id), &mut to)
            },
        )
    })
}

unsafe extern "C" fn import_state<H: MigrateStream>(
    this: *mut c_void,
    id: PpId,
    info: *const PpStreamInfo,
    version: u32,
    from: *mut PpSource,
    state: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends info and source until this returns.
    let (info, mut from) = unsafe { (StreamInfo::from_raw(info), StateReader::from_raw(from)) };
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("import_state", this, id, state, |handler: &H| {
            MigrateStream::import_state(handler, &mut Stream::new(id), &info, version, &mut from)
        })
    }
}

unsafe extern "C" fn closed<H: StreamHandler>(
    this: *mut c_void,
    state: *mut c_void,
    id: PpId,
    reason: u32,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, for the last time.
    unsafe {
        end(
            "closed",
            (this, state, id),
            |handler: &H, state: H::State| {
                StreamHandler::closed(handler, state, &mut Stream::new(id), End(reason));
            },
        )
    }
}
