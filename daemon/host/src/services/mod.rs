//! The host functions: `pp_host` of `host.h`. Each makes typed arguments of raw ones and calls [`HostApi`], [`HookApi`] or
//! the registry.
//!
//! Their contract is the header's: pointers are borrowed until the function returns, and point to what the header says. No
//! function calls into a plugin, and no panic of the host reaches one.
//!
//! [`HostApi`]: crate::host_api::HostApi
//! [`HookApi`]: crate::host_api::HookApi

mod outgoing;
mod observe;

use std::ffi::{c_char, c_void};
use std::io::IoSlice;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use polyport_abi as abi;
use polyport_abi::{PpDial, PpHost, PpId, PpNanos, PpOut, PpSlice, PpStatus};

use crate::boundary::{lend, with_hook_host, with_host, with_registry};
use crate::host_api::{CloseHow, Dial, DialTarget, Level};
use crate::id::{Id, Kind};
use crate::raw_args;
use crate::registry::Completion;
use crate::status::HostError;

pub use outgoing::Payloads;

pub use observe::{monotonic_now, set_log_level, with_loading};

/// The most verbose level that is written; plugins read it.
static LOG_LEVEL: AtomicU32 = AtomicU32::new(abi::PP_LOG_INFO);

/// Most room that one `reserve` gives, bytes.
const RESERVE_MAX: usize = 1 << 20;
/// The connect timeout of a dial for which the plugin sets none.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// A host table for one generation, never freed.
#[must_use]
pub fn host_table() -> &'static PpHost {
    Box::leak(Box::new(PpHost {
        struct_size: HOST_SIZE,
        abi_minor: abi::ABI_MINOR.into(),
        version: VERSION.as_ptr().cast::<c_char>(),
        log_level: LOG_LEVEL.as_ptr(),
        get_extension,
        log: observe::log,
        now: observe::now,
        metric: observe::metric,
        wake,
        complete,
        write,
        reserve,
        commit,
        set_reads,
        set_watermarks,
        close,
        attribute,
        timer_set,
        timer_cancel,
        dial,
        send_datagrams,
    }))
}

/// Bytes of [`PpHost`] that this host offers.
#[expect(clippy::cast_possible_truncation, reason = "a struct of 160 bytes")]
pub const HOST_SIZE: u32 = size_of::<PpHost>() as u32;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// Runs the work of a host function. If that panics, the plugin gets `failed`. Without a panic this costs nothing.
#[inline]
fn guarded<R>(failed: R, work: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(failed)
}

#[inline]
fn status(work: impl FnOnce() -> Result<(), HostError>) -> PpStatus {
    guarded(abi::PP_E_FAIL, || {
        work().map_or_else(HostError::status, |()| abi::PP_OK)
    })
}

#[inline]
fn level(work: impl FnOnce() -> Result<Level, HostError>) -> PpStatus {
    guarded(abi::PP_E_FAIL, || match work() {
        Ok(Level::Below) => abi::PP_OK,
        Ok(Level::AboveHigh) => abi::PP_S_ABOVE_HIGH,
        Err(error) => error.status(),
    })
}

/// No extension exists in this version.
unsafe extern "C" fn get_extension(_id: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn wake(target: PpId, bits: u64) -> PpStatus {
    status(|| with_registry(|registry| registry.wake(Id::from_raw(target), bits)))
}

unsafe extern "C" fn complete(op: PpId, result: PpStatus, why: *const PpSlice) -> PpStatus {
    status(|| {
        // SAFETY: null or a slice that the plugin lends for this call.
        let why = unsafe { raw_args::text_at(why) };
        let status = result;
        let completion = Completion { status, why };
        with_registry(|registry| registry.complete(Id::from_raw(op), completion))
    })
}

unsafe extern "C" fn write(s: PpId, v: *const PpSlice, n: usize, flags: u32) -> PpStatus {
    level(|| {
        with_host(|host, caller| {
            let fin = flags & abi::PP_WRITE_FIN != 0;
            // SAFETY: `n` slices that the plugin lends for this call.
            unsafe {
                raw_args::pieces(v, n, |pieces| {
                    host.write(caller, Id::from_raw(s), pieces, fin)
                })
            }
        })
    })
}

unsafe extern "C" fn reserve(s: PpId, len: usize, into: *mut *mut c_void) -> PpStatus {
    status(|| {
        with_host(|host, caller| {
            if len > RESERVE_MAX || into.is_null() {
                return Err(HostError::Invalid);
            }
            let stream = Id::from_raw(s);
            lend(|lent| lent.reserved = None);
            host.room(caller, stream, len)?;
            let room = lend(|lent| {
                lent.reserved = Some((stream, len));
                lent.room.resize(lent.room.len().max(len), 0);
                lent.room.as_mut_ptr()
            });
            // SAFETY: not null, and a place for a pointer by the header.
            unsafe { into.write(room.cast::<c_void>()) };
            Ok(())
        })
    })
}

unsafe extern "C" fn commit(s: PpId, len: usize, flags: u32) -> PpStatus {
    level(|| {
        with_host(|host, caller| {
            let fin = flags & abi::PP_WRITE_FIN != 0;
            let stream = Id::from_raw(s);
            let (reserved, room) =
                lend(|lent| (lent.reserved.take(), std::mem::take(&mut lent.room)));
            // The rest of the room holds bytes of earlier callbacks and of other streams.
            let fits = reserved.is_some_and(|(of, most)| of == stream && len <= most);
            let result = match room.get(..len) {
                Some(bytes) if fits => host.write(caller, stream, &[IoSlice::new(bytes)], fin),
                _ => Err(HostError::Invalid),
            };
            lend(|lent| lent.room = room);
            result
        })
    })
}

unsafe extern "C" fn set_reads(s: PpId, on: u32) -> PpStatus {
    status(|| with_host(|host, caller| host.set_reads(caller, Id::from_raw(s), on != 0)))
}

unsafe extern "C" fn set_watermarks(s: PpId, low: usize, high: usize) -> PpStatus {
    status(|| with_host(|host, caller| host.set_watermarks(caller, Id::from_raw(s), low, high)))
}

unsafe extern "C" fn close(id: PpId, how: u32, why: *const PpSlice) -> PpStatus {
    status(|| {
        with_host(|host, caller| {
            let id = Id::from_raw(id);
            let how = match how {
                abi::PP_CLOSE_NOW => CloseHow::Now,
                abi::PP_CLOSE_RESET => CloseHow::Reset,
                how if how != abi::PP_CLOSE_FLUSH && id.kind() == Some(Kind::Stream) => {
                    return Err(HostError::Invalid);
                }
                // Sockets and flows have no output that could be dropped.
                _ => CloseHow::Flush,
            };
            // SAFETY: null or a slice that the plugin lends for this call.
            let why = unsafe { raw_args::text_at(why) };
            host.close(caller, id, how, &why)
        })
    })
}

unsafe extern "C" fn attribute(id: PpId, key: *const c_char, value: *mut PpSlice) -> PpStatus {
    status(|| {
        with_host(|host, caller| {
            if value.is_null() {
                return Err(HostError::Invalid);
            }
            // SAFETY: null or a zero-terminated string that the plugin lends for this call.
            let key = unsafe { raw_args::name(key) }?;
            let found = host
                .attribute(caller, Id::from_raw(id), key)?
                .into_boxed_slice();
            let slice = PpSlice {
                ptr: found.as_ptr().cast::<c_void>(),
                len: found.len(),
            };
            lend(|lent| lent.values.push(found));
            // SAFETY: not null, and a place for a slice by the header.
            unsafe { value.write(slice) };
            Ok(())
        })
    })
}

unsafe extern "C" fn timer_set(owner: PpId, key: u32, after: PpNanos, period: PpNanos) -> PpStatus {
    let owner = Id::from_raw(owner);
    let after = Duration::from_nanos(after);
    let period = (period != 0).then(|| Duration::from_nanos(period));
    status(|| match owner.kind() {
        Some(Kind::Instance) => with_hook_host(|host, instance| {
            own(owner, instance).and_then(|()| host.timer_set(key, after, period))
        }),
        _ => with_host(|host, caller| host.timer_set(caller, owner, key, after, period)),
    })
}

unsafe extern "C" fn timer_cancel(owner: PpId, key: u32) -> PpStatus {
    let owner = Id::from_raw(owner);
    status(|| match owner.kind() {
        Some(Kind::Instance) => with_hook_host(|host, instance| {
            own(owner, instance)?;
            host.timer_cancel(key);
            Ok(())
        }),
        _ => with_host(|host, caller| host.timer_cancel(caller, owner, key)),
    })
}

/// Refuses the id of another instance than the one whose hook runs.
fn own(owner: Id, instance: Id) -> Result<(), HostError> {
    if owner == instance {
        Ok(())
    } else {
        Err(HostError::Gone)
    }
}

unsafe extern "C" fn dial(owner: PpId, dial: *const PpDial) -> PpStatus {
    let owner = Id::from_raw(owner);
    status(|| {
        // SAFETY: the plugin lends a `pp_dial` for this call.
        let dial = unsafe { read_dial(dial) }?;
        match owner.kind() {
            Some(Kind::Instance) => with_hook_host(|_, instance| {
                own(owner, instance)?;
                with_registry(|registry| registry.dial(instance, dial))
            }),
            _ => with_host(|host, caller| host.dial(caller, owner, dial)),
        }
    })
}

/// # Safety
/// Null, or a `pp_dial` of at least the size of version 1.0 whose slices are readable.
unsafe fn read_dial(dial: *const PpDial) -> Result<Dial, HostError> {
    // SAFETY: null gives None; otherwise at least its first member is there, by this function's contract.
    let size = unsafe { dial.cast::<u32>().as_ref() }
        .copied()
        .ok_or(HostError::Invalid)?;
    if (size as usize) < size_of::<PpDial>() {
        return Err(HostError::Invalid);
    }
    // SAFETY: not null, and as large as its struct_size says.
    let dial = unsafe { dial.read() };
    if dial.upstream.len != 0 {
        // No upstreams can be configured in this version, so no name is known.
        return Err(HostError::Invalid);
    }
    let address = || outgoing::socket_address(&dial.addr).ok_or(HostError::Invalid);
    // SAFETY: a slice that the plugin lends for this call.
    let path = || unsafe { raw_args::bytes(dial.path) }.and_then(unix_path);
    let target = match dial.kind {
        abi::PP_DIAL_STREAM => DialTarget::Stream(address()?),
        abi::PP_DIAL_DATAGRAM => DialTarget::Datagram(address()?),
        abi::PP_DIAL_UNIX => DialTarget::Unix(path()?),
        abi::PP_DIAL_UNIXGRAM => DialTarget::Unixgram(path()?),
        _ => return Err(HostError::Unsupported),
    };
    let timeout = match dial.connect_timeout {
        0 => DIAL_TIMEOUT,
        nanos => Duration::from_nanos(nanos),
    };
    Ok(Dial {
        target,
        timeout,
        tag: dial.tag,
    })
}

fn unix_path(bytes: &[u8]) -> Result<PathBuf, HostError> {
    use std::os::unix::ffi::OsStrExt;
    if bytes.is_empty() || bytes.len() > 107 {
        return Err(HostError::Invalid);
    }
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)))
}

unsafe extern "C" fn send_datagrams(s: PpId, v: *const PpOut, n: usize, stride: usize) -> i64 {
    guarded(abi::PP_E_FAIL.into(), || {
        let sent = with_host(|host, caller| {
            // SAFETY: `n` elements, `stride` bytes apart, that the plugin lends for this call.
            let list = unsafe { outgoing::RawList::new(v, n, stride) }?;
            host.send_datagrams(caller, Id::from_raw(s), &list)
        });
        match sent {
            Ok(taken) => i64::try_from(taken).unwrap_or(i64::MAX),
            Err(error) => error.status().into(),
        }
    })
}

#[cfg(test)]
mod tests;
