//! The callbacks that streams, sockets and flows have in common: one set of trampolines for the
//! three kinds. A kind is a marker type made of the handler's type.

use std::ffi::c_void;

use polyport_abi::{PpCallback, PpDatagram, PpId, PpImport, PpNanos, PpSink, PpSource, PpStatus};

use super::enter::{begin, code, end, io};
use crate::datagram::Batch;
use crate::end::End;
use crate::handler::Handler;
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// A kind of object as one handler serves it. The functions hand a callback to the author's trait.
pub(super) trait Kind: 'static {
    type Handler: Handler;
    /// What the host knows of an object when it opens.
    type Info: 'static;
    /// What the host keeps for an object between callbacks.
    type Kept: Send + 'static;
    /// Names of the first and the last callback in the log.
    const OPEN: &'static str;
    const CLOSED: &'static str = "closed";

    fn open(handler: &Self::Handler, id: PpId, info: &Self::Info) -> Result<Self::Kept>;
    fn on_wake(handler: &Self::Handler, kept: &mut Self::Kept, id: PpId, bits: u64) -> Result<()>;
    fn on_timer(handler: &Self::Handler, kept: &mut Self::Kept, id: PpId, key: u32) -> Result<()>;
    fn on_dial_failed(
        handler: &Self::Handler,
        kept: &mut Self::Kept,
        id: PpId,
        failure: (u64, Status),
    ) -> Result<()>;
    fn closed(handler: &Self::Handler, kept: Self::Kept, id: PpId, reason: End);
}

/// A kind that receives datagrams.
pub(super) trait Receive: Kind {
    fn on_datagrams(
        handler: &Self::Handler,
        kept: &mut Self::Kept,
        id: PpId,
        batch: Batch<'_>,
    ) -> Result<()>;
}

/// A kind whose author implements `on_drain`.
pub(super) trait Drain: Kind {
    fn on_drain(handler: &Self::Handler, kept: &mut Self::Kept, id: PpId, by: Moment)
    -> Result<()>;
}

/// A kind whose objects move to another generation.
pub(super) trait Migrate: Kind {
    fn export_state(
        handler: &Self::Handler,
        kept: &mut Self::Kept,
        id: PpId,
        to: &mut StateWriter<'_>,
    ) -> Result<()>;
    fn import_state(
        handler: &Self::Handler,
        object: (PpId, &Self::Info),
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Self::Kept>;
}

/// The two callbacks of [`Migrate`]; absent together.
pub(super) type MigrateOps<Info> = (PpCallback<*mut PpSink>, PpImport<Info>);

pub(super) const fn migrate<K: Migrate>() -> MigrateOps<K::Info> {
    (Some(export_state::<K>), Some(import_state::<K>))
}

/// A callback whose result is nothing but its code.
///
/// # Safety
///
/// As for [`io`].
#[inline]
pub(super) unsafe fn notify<K: Kind>(
    name: &'static str,
    object: (*mut c_void, *mut c_void, PpId),
    body: impl FnOnce(&K::Handler, &mut K::Kept) -> Result<()>,
) -> PpStatus {
    // SAFETY: the caller's condition.
    code(unsafe { io(name, object, body) })
}

pub(super) unsafe extern "C" fn open<K: Kind>(
    this: *mut c_void,
    id: PpId,
    info: *const K::Info,
    kept: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host passes its instance and a place for the state, and lends the info until this
    // returns.
    unsafe { begin(K::OPEN, this, id, kept, |h| K::open(h, id, &*info)) }
}

pub(super) unsafe extern "C" fn on_datagrams<K: Receive>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    first: *const PpDatagram,
    n: usize,
    stride: usize,
) -> PpStatus {
    // SAFETY: the host lends `n` datagrams, `stride` apart, until this returns.
    let Some(batch) = (unsafe { Batch::from_raw(first, n, stride) }) else {
        return Status::INVAL.code();
    };
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("on_datagrams", (this, kept, id), |h, kept| {
            K::on_datagrams(h, kept, id, batch)
        })
    }
}

pub(super) unsafe extern "C" fn on_wake<K: Kind>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    bits: u64,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("on_wake", (this, kept, id), |h, kept| {
            K::on_wake(h, kept, id, bits)
        })
    }
}

pub(super) unsafe extern "C" fn on_timer<K: Kind>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    key: u32,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("on_timer", (this, kept, id), |h, kept| {
            K::on_timer(h, kept, id, key)
        })
    }
}

pub(super) unsafe extern "C" fn on_drain<K: Drain>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    deadline: PpNanos,
) -> PpStatus {
    let by = Moment::from_nanos(deadline);
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("on_drain", (this, kept, id), |h, kept| {
            K::on_drain(h, kept, id, by)
        })
    }
}

pub(super) unsafe extern "C" fn on_dial_failed<K: Kind>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    tag: u64,
    why: PpStatus,
) -> PpStatus {
    let failure = (tag, Status::refusal(why));
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("on_dial_failed", (this, kept, id), |h, kept| {
            K::on_dial_failed(h, kept, id, failure)
        })
    }
}

unsafe extern "C" fn export_state<K: Migrate>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    to: *mut PpSink,
) -> PpStatus {
    // SAFETY: the host lends the sink until this returns.
    let mut to = unsafe { StateWriter::from_raw(to) };
    // SAFETY: the host passes what `open` made, one callback of an object at a time.
    unsafe {
        notify::<K>("export_state", (this, kept, id), |h, kept| {
            K::export_state(h, kept, id, &mut to)
        })
    }
}

unsafe extern "C" fn import_state<K: Migrate>(
    this: *mut c_void,
    id: PpId,
    info: *const K::Info,
    version: u32,
    from: *mut PpSource,
    kept: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends info and source until this returns.
    let (info, mut from) = unsafe { (&*info, StateReader::from_raw(from)) };
    // SAFETY: the host passes its instance, and a place for the state.
    unsafe {
        begin("import_state", this, id, kept, |h| {
            K::import_state(h, (id, info), version, &mut from)
        })
    }
}

pub(super) unsafe extern "C" fn closed<K: Kind>(
    this: *mut c_void,
    kept: *mut c_void,
    id: PpId,
    reason: u32,
) -> PpStatus {
    // SAFETY: the host passes what `open` made, for the last time.
    unsafe {
        end(K::CLOSED, (this, kept, id), |h, kept| {
            K::closed(h, kept, id, End(reason));
        })
    }
}
