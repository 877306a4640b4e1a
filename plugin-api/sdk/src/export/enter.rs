//! Entry of host calls: each raw call becomes a typed one, under the panic guard, and its result a
//! code again.

use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, Ordering};

use polyport_abi::{PP_E_PANIC, PP_OK, PP_S_PENDING, PpId, PpStatus};

use crate::handler::{Hook, Instance};
use crate::panic::{POISONED, run};
use crate::status::Result;

/// The object behind `self` in the ABI.
pub(super) struct InstanceBox<H> {
    pub(super) id: PpId,
    pub(super) handler: H,
    /// A hook panicked: the handler is leaked at the end instead of dropped.
    pub(super) poisoned: AtomicBool,
}

/// The instance behind `self`.
///
/// # Safety
///
/// `this` is what `create::<H>` made, and `destroy` was not called.
#[inline]
unsafe fn instance<'a, H>(this: *mut c_void) -> &'a InstanceBox<H> {
    // SAFETY: the caller's condition; shared, since hooks run concurrently with callbacks.
    unsafe { &*this.cast::<InstanceBox<H>>() }
}

/// A hook of an instance.
///
/// # Safety
///
/// As for [`instance`].
pub(super) unsafe fn ctl<H, T>(
    name: &'static str,
    this: *mut c_void,
    body: impl FnOnce(&H, &mut Instance<'_>) -> Result<T>,
) -> Result<T, PpStatus> {
    // SAFETY: the caller's condition.
    let instance = unsafe { instance::<H>(this) };
    let result = run(name, instance.id, || {
        body(&instance.handler, &mut Instance::new(instance.id))
    });
    if matches!(result, Err(PP_E_PANIC)) {
        instance.poisoned.store(true, Ordering::Relaxed);
    }
    result
}

/// A hook that may be deferred.
///
/// # Safety
///
/// As for [`instance`].
pub(super) unsafe fn hook<H>(
    name: &'static str,
    this: *mut c_void,
    op: PpId,
    body: impl FnOnce(&H, &mut Hook<'_>) -> Result<()>,
) -> PpStatus {
    let body = |handler: &H, instance: &mut Instance<'_>| {
        let mut hook = Hook::new(instance.reborrow(), op);
        body(handler, &mut hook)?;
        Ok(if hook.is_deferred() {
            PP_S_PENDING
        } else {
            PP_OK
        })
    };
    // SAFETY: the caller's condition.
    unsafe { ctl(name, this, body) }.unwrap_or_else(|code| code)
}

/// The first callback of a stream, socket or flow: creates its state.
///
/// # Safety
///
/// As for [`instance`], and `state` may be written.
pub(super) unsafe fn begin<H, S>(
    name: &'static str,
    this: *mut c_void,
    id: PpId,
    state: *mut *mut c_void,
    body: impl FnOnce(&H) -> Result<S>,
) -> PpStatus {
    // SAFETY: the caller's condition.
    let handler = unsafe { &instance::<H>(this).handler };
    match run(name, id, || body(handler).map(Box::new)) {
        Ok(made) => {
            // SAFETY: the caller's condition.
            unsafe { *state = Box::into_raw(made).cast() };
            PP_OK
        }
        Err(code) => code,
    }
}

/// A callback of a stream, socket or flow. After a panic in one of them no further one runs.
///
/// # Safety
///
/// As for [`instance`]; `state` is what `begin::<H, S>` made, and the call has exclusive use of it.
#[inline]
pub(super) unsafe fn io<H, S, T>(
    name: &'static str,
    (this, state, id): (*mut c_void, *mut c_void, PpId),
    body: impl FnOnce(&H, &mut S) -> Result<T>,
) -> Result<T, PpStatus> {
    if POISONED.contains(id) {
        return Err(PP_E_PANIC);
    }
    // SAFETY: the caller's condition.
    let handler = unsafe { &instance::<H>(this).handler };
    // SAFETY: the caller's condition; the host never runs two callbacks of one id at once.
    let state = unsafe { &mut *state.cast::<S>() };
    let result = run(name, id, || body(handler, state));
    if matches!(result, Err(PP_E_PANIC)) {
        POISONED.insert(id);
    }
    result
}

/// The last callback: takes the state back. Poisoned state is leaked: half-changed, it might panic
/// again, or hold what its threads still use.
///
/// # Safety
///
/// As for [`io`], and `state` is not used again.
pub(super) unsafe fn end<H, S>(
    name: &'static str,
    (this, state, id): (*mut c_void, *mut c_void, PpId),
    body: impl FnOnce(&H, S),
) -> PpStatus {
    if POISONED.remove(id) {
        return PP_OK;
    }
    // SAFETY: the caller's condition.
    let handler = unsafe { &instance::<H>(this).handler };
    // SAFETY: `begin` made it from a box, and the host returns it once.
    let state = unsafe { Box::from_raw(state.cast::<S>()) };
    code(run(name, id, || {
        body(handler, *state);
        Ok(())
    }))
}

/// A result that is nothing but its code.
#[inline]
pub(super) fn code(result: Result<(), PpStatus>) -> PpStatus {
    result.err().unwrap_or(PP_OK)
}
