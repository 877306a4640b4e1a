//! The host table of a test: its functions record their calls in a [`TestHost`].

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use polyport_abi::{
    PP_E_FULL, PP_E_GONE, PP_E_INVAL, PP_E_UNSUPPORTED, PP_LOG_DEBUG, PP_OK, PP_S_ABOVE_HIGH,
    PP_WRITE_FIN, PpDial, PpHost, PpId, PpKv, PpNanos, PpOut, PpSlice, PpStatus, refusing_host,
};

use super::test_host::{Closed, LogLine, SentDatagram, TestHost, Timer, with};
use crate::raw::{borrow, borrow_text};

/// The table for a plugin's `init`; static.
#[must_use]
pub fn raw_host() -> *const PpHost {
    &raw const HOST.0
}

/// The most talkative level that the host of the tests writes.
static LEVEL: AtomicU32 = AtomicU32::new(PP_LOG_DEBUG);

struct Shared(PpHost);
// SAFETY: never written, and its pointers point to statics that change atomically.
unsafe impl Sync for Shared {}

static HOST: Shared = Shared(PpHost {
    version: c"test".as_ptr(),
    log_level: LEVEL.as_ptr().cast_const(),
    log,
    now,
    metric,
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
    ..refusing_host()
});

/// The value of a cell, by the address in a test host.
pub(super) fn read_cell(cell: usize) -> u64 {
    let cell = std::ptr::with_exposed_provenance_mut::<u64>(cell);
    // SAFETY: `metric` leaked the cell and exposed its address.
    unsafe { AtomicU64::from_ptr(cell) }.load(Ordering::Relaxed)
}

unsafe extern "C" fn log(who: PpId, level: u32, line: *const PpSlice, kv: *const PpKv, n: usize) {
    // SAFETY: the SDK lends line and pairs for this call.
    let (text, kv) = unsafe { (borrow_text(*line), elements(kv, n)) };
    // SAFETY: as are the texts of the pairs.
    let pair = |kv: &PpKv| unsafe { (owned(kv.key), owned(kv.value)) };
    let pairs = kv.iter().map(pair).collect();
    if who == 0 {
        print_orphan(text);
    }
    let text = text.to_owned();
    let line = LogLine {
        who,
        level,
        text,
        pairs,
    };
    with(who, |host| host.logged.push(line));
}

/// The SDK's panic hook replaces the one that prints: without this a failed assertion of a test would
/// be invisible.
#[expect(clippy::print_stderr, reason = "for the person who runs the test")]
fn print_orphan(line: &str) {
    eprintln!("{line}");
}

unsafe extern "C" fn now() -> PpNanos {
    1_000_000_000
}

unsafe extern "C" fn metric(
    instance: PpId,
    _: u32,
    name: *const c_char,
    _: *const c_char,
    _: *const PpKv,
    _: usize,
    cell: *mut *mut u64,
) -> PpStatus {
    // SAFETY: the SDK passes a name that ends in NUL.
    let name = unsafe { CStr::from_ptr(name) }
        .to_string_lossy()
        .into_owned();
    let address = with(instance, |host| {
        *host.cells.entry(name).or_insert_with(|| {
            let made: *mut u64 = Box::leak(Box::new(0));
            made.expose_provenance()
        })
    });
    // SAFETY: the SDK lends `cell` to be written.
    unsafe { *cell = std::ptr::with_exposed_provenance_mut(address) };
    PP_OK
}

unsafe extern "C" fn wake(target: PpId, bits: u64) -> PpStatus {
    with(target, |host| {
        if host.gone.contains(&target) {
            return PP_E_GONE;
        }
        host.woken.push((target, bits));
        PP_OK
    })
}

unsafe extern "C" fn complete(op: PpId, result: PpStatus, why: *const PpSlice) -> PpStatus {
    // SAFETY: the SDK lends the text for this call.
    let why = unsafe { owned(*why) };
    with(op, |host| host.completed.push((op, result, why)));
    PP_OK
}

unsafe extern "C" fn write(id: PpId, v: *const PpSlice, n: usize, flags: u32) -> PpStatus {
    // SAFETY: the SDK lends the pieces for this call.
    let pieces = unsafe { elements(v, n) };
    // SAFETY: as is what they point to.
    let bytes = pieces.iter().flat_map(|piece| unsafe { borrow(*piece) });
    let bytes: Vec<u8> = bytes.copied().collect();
    with(id, |host| take(host, id, &bytes, flags))
}

fn take(host: &mut TestHost, id: PpId, bytes: &[u8], flags: u32) -> PpStatus {
    if host.closed.contains_key(&id) {
        return PP_E_GONE;
    }
    let (high, bound) = (host.high, host.bound);
    let written = host.written.entry(id).or_default();
    if bound != 0 && written.len() + bytes.len() > bound {
        return PP_E_FULL;
    }
    written.extend_from_slice(bytes);
    let above = high != 0 && written.len() > high;
    if flags & PP_WRITE_FIN != 0 {
        host.finished.push(id);
    }
    if above { PP_S_ABOVE_HIGH } else { PP_OK }
}

unsafe extern "C" fn reserve(id: PpId, len: usize, into: *mut *mut c_void) -> PpStatus {
    let mut room = vec![0; len].into_boxed_slice();
    // SAFETY: the SDK lends `into` to be written; the room stays where it is until commit.
    unsafe { *into = room.as_mut_ptr().cast() };
    with(id, |host| host.reserved.insert(id, room));
    PP_OK
}

unsafe extern "C" fn commit(id: PpId, len: usize, flags: u32) -> PpStatus {
    with(id, |host| {
        let Some(room) = host.reserved.remove(&id) else {
            return PP_E_INVAL;
        };
        let Some(bytes) = room.get(..len) else {
            return PP_E_INVAL;
        };
        take(host, id, bytes, flags)
    })
}

unsafe extern "C" fn set_reads(_: PpId, _: u32) -> PpStatus {
    PP_OK
}

unsafe extern "C" fn set_watermarks(id: PpId, low: usize, high: usize) -> PpStatus {
    if low > high {
        return PP_E_INVAL;
    }
    with(id, |host| host.high = high);
    PP_OK
}

unsafe extern "C" fn close(id: PpId, how: u32, why: *const PpSlice) -> PpStatus {
    // SAFETY: the SDK lends the text for this call.
    let why = unsafe { owned(*why) };
    with(id, |host| host.closed.insert(id, Closed { how, why }));
    PP_OK
}

unsafe extern "C" fn attribute(_: PpId, _: *const c_char, _: *mut PpSlice) -> PpStatus {
    PP_E_UNSUPPORTED
}

unsafe extern "C" fn timer_set(id: PpId, key: u32, after: PpNanos, period: PpNanos) -> PpStatus {
    with(id, |host| {
        host.timers.insert((id, key), Timer { after, period })
    });
    PP_OK
}

unsafe extern "C" fn timer_cancel(id: PpId, key: u32) -> PpStatus {
    with(id, |host| host.timers.remove(&(id, key)));
    PP_OK
}

unsafe extern "C" fn dial(_: PpId, _: *const PpDial) -> PpStatus {
    PP_E_UNSUPPORTED
}

unsafe extern "C" fn send_datagrams(id: PpId, v: *const PpOut, n: usize, stride: usize) -> i64 {
    if stride != size_of::<PpOut>() {
        return i64::from(PP_E_INVAL);
    }
    // SAFETY: the SDK lends datagrams and payloads for this call.
    let datagrams = unsafe { elements(v, n) }.iter().map(sent).collect();
    with(id, |host| host.sends.push(datagrams));
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn sent(out: &PpOut) -> SentDatagram {
    // SAFETY: the SDK lends the payload for the call that this is part of.
    let data = unsafe { borrow(out.data) }.to_vec();
    SentDatagram {
        data,
        peer: out.peer,
    }
}

/// # Safety
///
/// `first` points to `n` elements that live during `'a`, or `n` is 0.
unsafe fn elements<'a, T>(first: *const T, n: usize) -> &'a [T] {
    if n == 0 {
        return &[];
    }
    // SAFETY: the caller's condition.
    unsafe { std::slice::from_raw_parts(first, n) }
}

/// # Safety
///
/// As for `borrow`.
unsafe fn owned(slice: PpSlice) -> String {
    // SAFETY: the caller's condition.
    unsafe { borrow_text(slice) }.to_owned()
}
