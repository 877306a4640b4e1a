//! The sink and the source that a plugin gets to write its state to and read it from.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use polyport_abi as abi;
use polyport_abi::{PpSink, PpSource, PpStatus};

/// The contents of a sink.
struct Sink {
    bytes: Vec<u8>,
    max: usize,
    /// A write was refused, so `bytes` is not the whole state.
    is_full: bool,
}

/// Calls `write_all` with a sink for at most `max` bytes. Returns `PP_E_FULL` when the bound was reached, whatever the call
/// returned, unless it panicked.
pub(crate) fn collect_state(
    max: usize,
    write_all: impl FnOnce(*mut PpSink) -> PpStatus,
) -> (PpStatus, Vec<u8>) {
    let sink_state = Mutex::new(Sink {
        bytes: Vec::new(),
        max,
        is_full: false,
    });
    let mut sink = PpSink {
        ctx: (&raw const sink_state).cast_mut().cast::<c_void>(),
        write,
    };
    let status = write_all(&raw mut sink);
    let sink_state = sink_state
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let status = match status {
        abi::PP_E_PANIC => status,
        _ if sink_state.is_full => abi::PP_E_FULL,
        _ => status,
    };
    (status, sink_state.bytes)
}

/// Calls `read_all` with a source of these bytes.
pub(crate) fn supply_state<R>(bytes: &[u8], read_all: impl FnOnce(*mut PpSource) -> R) -> R {
    let rest: Mutex<&[u8]> = Mutex::new(bytes);
    let mut source = PpSource {
        ctx: (&raw const rest).cast_mut().cast::<c_void>(),
        read,
    };
    read_all(&raw mut source)
}

unsafe extern "C" fn read(source: *mut PpSource, into: *mut c_void, len: usize) -> i64 {
    // SAFETY: the plugin passes back the source that `supply_state` lent it, within that call; its threads share it.
    let rest = unsafe {
        source
            .as_ref()
            .and_then(|source| source.ctx.cast::<Mutex<&[u8]>>().as_ref())
    };
    let (Some(rest), false) = (rest, into.is_null() && len != 0) else {
        return abi::PP_E_INVAL.into();
    };
    let mut rest = rest.lock().unwrap_or_else(PoisonError::into_inner);
    let count = len.min(rest.len());
    let (now, later) = rest.split_at(count);
    if count != 0 {
        // SAFETY: `into` has room for `len` bytes by the header, and `count` is at most that.
        unsafe { std::ptr::copy_nonoverlapping(now.as_ptr(), into.cast::<u8>(), count) };
    }
    *rest = later;
    i64::try_from(count).unwrap_or(i64::MAX)
}

unsafe extern "C" fn write(sink: *mut PpSink, bytes: *const c_void, len: usize) -> i64 {
    // SAFETY: the plugin passes back the sink that `collect_state` lent it, within that call; its threads share it.
    let sink_state = unsafe {
        sink.as_ref()
            .and_then(|sink| sink.ctx.cast::<Mutex<Sink>>().as_ref())
    };
    // SAFETY: `len` bytes that the plugin lends for this call.
    let bytes = unsafe { crate::raw_args::bytes(abi::PpSlice { ptr: bytes, len }) };
    let (Some(sink_state), Ok(bytes)) = (sink_state, bytes) else {
        return abi::PP_E_INVAL.into();
    };
    let mut sink_state = sink_state.lock().unwrap_or_else(PoisonError::into_inner);
    let room = sink_state.max - sink_state.bytes.len();
    if bytes.len() > room || sink_state.bytes.try_reserve(bytes.len()).is_err() {
        sink_state.is_full = true;
        return abi::PP_E_FULL.into();
    }
    sink_state.bytes.extend_from_slice(bytes);
    i64::try_from(len).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUNDS: usize = 1000;

    /// Copies pieces of two bytes from the source to the sink.
    fn copy(source: usize, sink: usize) {
        let (source, sink) = (source as *mut PpSource, sink as *mut PpSink);
        let mut piece = [0_u8; 2];
        for _ in 0..ROUNDS {
            // SAFETY: the test waits for this thread, so both are alive.
            let moved = unsafe {
                read(source, piece.as_mut_ptr().cast(), 2);
                write(sink, piece.as_ptr().cast(), 2)
            };
            assert_eq!(moved, 2);
        }
    }

    #[test]
    fn state_io_works_from_several_threads_at_once() {
        let bytes: Vec<u8> = (0..=u8::MAX)
            .cycle()
            .take(4 * ROUNDS)
            .flat_map(|n| [n, !n])
            .collect();
        let (status, saved) = collect_state(bytes.len(), |sink| {
            supply_state(&bytes, |source| {
                let (source, sink) = (source as usize, sink as usize);
                let all: Vec<_> = (0..4)
                    .map(|_| std::thread::spawn(move || copy(source, sink)))
                    .collect();
                all.into_iter().for_each(|one| one.join().unwrap());
                let mut end = [0_u8; 1];
                // SAFETY: both live until `collect_state` returns.
                let after = unsafe { read(source as *mut PpSource, end.as_mut_ptr().cast(), 1) };
                assert_eq!(after, 0);
                abi::PP_OK
            })
        });
        assert_eq!(status, abi::PP_OK);
        assert!(saved.chunks(2).all(|piece| piece[0] == !piece[1]));
        assert_eq!(saved.len(), bytes.len());
    }

    #[test]
    fn state_io_fails_when_state_does_not_fit_though_the_plugin_returns_success() {
        let put = |status| {
            collect_state(3, |sink| {
                // SAFETY: the sink is lent until this returns, and the bytes are static.
                let taken = unsafe {
                    [
                        write(sink, b"ab".as_ptr().cast(), 2),
                        write(sink, b"cd".as_ptr().cast(), 2),
                    ]
                };
                assert_eq!(taken, [2, abi::PP_E_FULL.into()]);
                status
            })
            .0
        };
        assert_eq!(put(abi::PP_OK), abi::PP_E_FULL);
        assert_eq!(put(abi::PP_E_FAIL), abi::PP_E_FULL);
        assert_eq!(put(abi::PP_E_PANIC), abi::PP_E_PANIC);
    }
}
