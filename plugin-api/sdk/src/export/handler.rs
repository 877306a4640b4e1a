//! The table of a handler and the trampolines of its hooks.

use std::ffi::{CString, c_char, c_void};
use std::panic::catch_unwind;
use std::sync::atomic::AtomicBool;

use polyport_abi::{
    PP_HF_EXCLUSIVE, PP_HF_MANUAL_FLOW, PP_HF_PINNED, PP_OK, PpHandler, PpHook, PpId, PpNanos,
    PpReport, PpSink, PpSlice, PpSource, PpStatus,
};

use super::enter::{InstanceBox, code, ctl, hook};
use super::probe::Found;
use crate::config::{self, Report};
use crate::handler::{Exclusive, Handler, Instance, Persist};
use crate::panic::run;
use crate::raw::{borrow, size32};
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// The table of a handler, made once; the schema text is leaked.
#[must_use]
pub fn table<H: Handler>(found: &'static Found) -> PpHandler {
    PpHandler {
        struct_size: size32::<PpHandler>(),
        flags: flags::<H>(found),
        id: H::ID.as_ptr(),
        summary: H::SUMMARY.as_ptr(),
        config_schema: schema::<H>(),
        state_version: H::STATE_VERSION,
        state_min_version: H::STATE_MIN_VERSION,
        validate: Some(validate::<H>),
        create: Some(create::<H>),
        reconfigure: Some(reconfigure::<H>),
        restore_state: found.state.map(|hooks| hooks.restore),
        start: Some(start::<H>),
        drain: Some(drain::<H>),
        save_state: found.state.map(|hooks| hooks.save),
        stop: Some(stop::<H>),
        destroy: Some(destroy::<H>),
        freeze: found.exclusive.map(|hooks| hooks.freeze),
        thaw: found.exclusive.map(|hooks| hooks.thaw),
        on_wake: Some(on_wake::<H>),
        on_timer: Some(on_timer::<H>),
        on_dial_failed: Some(on_dial_failed::<H>),
        health: Some(health::<H>),
        stream: found
            .stream
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref),
        socket: found
            .socket
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref),
        flow: found
            .flow
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref),
    }
}

fn flags<H: Handler>(found: &Found) -> u32 {
    let pinned = if H::PINNED { PP_HF_PINNED } else { 0 };
    let manual = if H::MANUAL_FLOW { PP_HF_MANUAL_FLOW } else { 0 };
    let exclusive = if found.exclusive.is_some() {
        PP_HF_EXCLUSIVE
    } else {
        0
    };
    pinned | manual | exclusive
}

/// Without a schema the handler still serves.
fn schema<H: Handler>() -> *const c_char {
    let text = catch_unwind(config::schema::<H::Config>).ok();
    let text = text.and_then(|text| CString::new(text).ok());
    text.map_or(std::ptr::null(), |text| text.into_raw().cast_const())
}

/// Hooks of [`Persist`].
#[derive(Clone, Copy, Debug)]
pub struct StateHooks {
    save: unsafe extern "C" fn(*mut c_void, PpId, *mut PpSink) -> PpStatus,
    restore: unsafe extern "C" fn(*mut c_void, u32, *mut PpSource, *mut PpReport) -> PpStatus,
}

pub(super) const fn state_hooks<H: Persist>() -> StateHooks {
    StateHooks {
        save: save_state::<H>,
        restore: restore_state::<H>,
    }
}

/// Hooks of [`Exclusive`].
#[derive(Clone, Copy, Debug)]
pub struct ExclusiveHooks {
    freeze: PpHook,
    thaw: PpHook,
}

pub(super) const fn exclusive_hooks<H: Exclusive>() -> ExclusiveHooks {
    ExclusiveHooks {
        freeze: freeze::<H>,
        thaw: thaw::<H>,
    }
}

/// The configuration text of a call.
///
/// # Safety
///
/// `json` is null or points to a text that is lent during `'a`.
unsafe fn text<'a>(json: *const PpSlice) -> &'a [u8] {
    // SAFETY: the caller's condition.
    unsafe { json.as_ref().map_or(&[], |slice| borrow(*slice)) }
}

/// The configuration, if both the types and the handler accept it.
fn checked<H: Handler>(json: &[u8], report: &mut Report<'_>) -> Result<H::Config> {
    let config = config::read(json, report)?;
    H::check(&config, report);
    report.verdict()?;
    Ok(config)
}

/// Reports the reason to the operator instead of logging it.
fn reported<T>(result: Result<T>, report: &mut Report<'_>) -> Result<T> {
    result.map_err(|error| {
        if let Some(message) = error.message() {
            report.error("", message);
        }
        error.status().into()
    })
}

unsafe extern "C" fn validate<H: Handler>(json: *const PpSlice, report: *mut PpReport) -> PpStatus {
    // SAFETY: the host lends the text and the report until this returns.
    let (json, mut report) = unsafe { (text(json), Report::from_raw(report)) };
    code(run("validate", 0, || {
        checked::<H>(json, &mut report).map(drop)
    }))
}

unsafe extern "C" fn create<H: Handler>(
    id: PpId,
    json: *const PpSlice,
    report: *mut PpReport,
    this: *mut *mut c_void,
) -> PpStatus {
    // SAFETY: the host lends the text and the report until this returns.
    let (json, mut report) = unsafe { (text(json), Report::from_raw(report)) };
    let made = run("create", id, || {
        let config = checked::<H>(json, &mut report)?;
        let handler = reported(H::create(&mut Instance::new(id), config), &mut report)?;
        Ok(Box::new(InstanceBox {
            id,
            handler,
            poisoned: AtomicBool::new(false),
        }))
    });
    match made {
        Ok(instance) => {
            // SAFETY: the host lends `this` for writing.
            unsafe { *this = Box::into_raw(instance).cast() };
            PP_OK
        }
        Err(code) => code,
    }
}

unsafe extern "C" fn destroy<H: Handler>(this: *mut c_void) -> PpStatus {
    // SAFETY: `create` made it from a box, and this is the last call.
    let instance = unsafe { Box::from_raw(this.cast::<InstanceBox<H>>()) };
    if instance.poisoned.into_inner() {
        std::mem::forget(instance.handler);
        return PP_OK;
    }
    let (id, handler) = (instance.id, instance.handler);
    code(run("destroy", id, || {
        drop(handler);
        Ok(())
    }))
}

unsafe extern "C" fn reconfigure<H: Handler>(
    this: *mut c_void,
    json: *const PpSlice,
    report: *mut PpReport,
) -> PpStatus {
    // SAFETY: the host lends the text and the report until this returns.
    let (json, mut report) = unsafe { (text(json), Report::from_raw(report)) };
    // SAFETY: a hook between `create` and `destroy`.
    code(unsafe {
        ctl("reconfigure", this, |handler: &H, instance| {
            let config = checked::<H>(json, &mut report)?;
            reported(handler.reconfigure(instance, config), &mut report)
        })
    })
}

unsafe extern "C" fn restore_state<H: Persist>(
    this: *mut c_void,
    version: u32,
    from: *mut PpSource,
    report: *mut PpReport,
) -> PpStatus {
    // SAFETY: the host lends the report and the source until this returns.
    let (mut report, mut from) = unsafe { (Report::from_raw(report), StateReader::from_raw(from)) };
    // SAFETY: a hook between `create` and `destroy`.
    code(unsafe {
        ctl("restore_state", this, |handler: &H, instance| {
            reported(
                handler.restore_state(instance, version, &mut from),
                &mut report,
            )
        })
    })
}

/// A hook that may be deferred: the author's method, the raw argument and its value.
macro_rules! hook {
    ($trait:ident::$method:ident($($arg:ident: $raw:ty => $value:expr)?)) => {
        unsafe extern "C" fn $method<H: $trait>(
            this: *mut c_void,
            op: PpId
            $(, $arg: $raw)?
        ) -> PpStatus {
            // SAFETY: a hook between `create` and `destroy`.
            unsafe {
                hook(stringify!($method), this, op, |handler: &H, hook| {
                    handler.$method(hook $(, $value)?)
                })
            }
        }
    };
}

/// A hook that ends when it returns.
macro_rules! ctl {
    ($trait:ident::$method:ident($($arg:ident: $raw:ty),*) => $($value:expr),*) => {
        unsafe extern "C" fn $method<H: $trait>(this: *mut c_void, $($arg: $raw),*) -> PpStatus {
            // SAFETY: a hook between `create` and `destroy`; the host lends the arguments until
            // this returns.
            code(unsafe {
                ctl(stringify!($method), this, |handler: &H, instance| {
                    handler.$method(instance, $($value),*)
                })
            })
        }
    };
}

hook!(Handler::start());
hook!(Handler::drain(by: PpNanos => Moment::from_nanos(by)));
hook!(Handler::stop());
hook!(Exclusive::freeze());
hook!(Exclusive::thaw());
ctl!(Persist::save_state(_op: PpId, to: *mut PpSink) => &mut StateWriter::from_raw(to));
ctl!(Handler::on_wake(bits: u64) => bits);
ctl!(Handler::on_timer(key: u32) => key);
ctl!(Handler::on_dial_failed(tag: u64, why: PpStatus) => tag, Status::refusal(why));

unsafe extern "C" fn health<H: Handler>(this: *mut c_void, report: *mut PpReport) -> PpStatus {
    // SAFETY: the host lends the report until this returns.
    let mut report = unsafe { Report::from_raw(report) };
    // SAFETY: a hook between `create` and `destroy`.
    let result = unsafe {
        ctl("health", this, |handler: &H, instance| {
            let result = handler.health(instance, &mut report);
            reported(result, &mut report)
        })
    };
    if result.is_ok() && report.verdict().is_err() {
        return Status::FAIL.code();
    }
    code(result)
}
