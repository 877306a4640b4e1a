//! State on its way out of a plugin and into one: the sink and the source that a call is lent.

use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

use polyport_abi as abi;
use polyport_abi::{PpSink, PpSource, PpStatus};

/// What a sink has taken.
struct Gathered {
    bytes: Vec<u8>,
    max: usize,
    /// Something was refused, so what is here is not the whole.
    full: bool,
}

/// Calls `write_all` with a sink for at most `max` bytes. A call that ran into that bound has failed, whatever it
/// says of itself, unless it says worse.
pub(crate) fn gather(
    max: usize,
    write_all: impl FnOnce(*mut PpSink) -> PpStatus,
) -> (PpStatus, Vec<u8>) {
    let gathered = Mutex::new(Gathered {
        bytes: Vec::new(),
        max,
        full: false,
    });
    let mut sink = PpSink {
        ctx: (&raw const gathered).cast_mut().cast::<c_void>(),
        write,
    };
    let status = write_all(&raw mut sink);
    let gathered = gathered
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let status = match status {
        abi::PP_E_PANIC => status,
        _ if gathered.full => abi::PP_E_FULL,
        _ => status,
    };
    (status, gathered.bytes)
}

/// Calls `read_all` with a source of these bytes.
pub(crate) fn feed<R>(bytes: &[u8], read_all: impl FnOnce(*mut PpSource) -> R) -> R {
    let rest: Mutex<&[u8]> = Mutex::new(bytes);
    let mut source = PpSource {
        ctx: (&raw const rest).cast_mut().cast::<c_void>(),
        read,
    };
    read_all(&raw mut source)
}

unsafe extern "C" fn read(source: *mut PpSource, into: *mut c_void, len: usize) -> i64 {
    // SAFETY: the plugin passes back the source that `feed` lent it, within that call; its threads share it.
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
    // SAFETY: the plugin passes back the sink that `gather` lent it, within that call; its threads share it.
    let gathered = unsafe {
        sink.as_ref()
            .and_then(|sink| sink.ctx.cast::<Mutex<Gathered>>().as_ref())
    };
    // SAFETY: `len` bytes that the plugin lends for this call.
    let bytes = unsafe { crate::raw_args::bytes(abi::PpSlice { ptr: bytes, len }) };
    let (Some(gathered), Ok(bytes)) = (gathered, bytes) else {
        return abi::PP_E_INVAL.into();
    };
    let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
    let room = gathered.max - gathered.bytes.len();
    if bytes.len() > room || gathered.bytes.try_reserve(bytes.len()).is_err() {
        gathered.full = true;
        return abi::PP_E_FULL.into();
    }
    gathered.bytes.extend_from_slice(bytes);
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
    fn state_goes_out_and_in_from_several_threads_at_once() {
        let bytes: Vec<u8> = (0..=u8::MAX)
            .cycle()
            .take(4 * ROUNDS)
            .flat_map(|n| [n, !n])
            .collect();
        let (status, saved) = gather(bytes.len(), |sink| {
            feed(&bytes, |source| {
                let (source, sink) = (source as usize, sink as usize);
                let all: Vec<_> = (0..4)
                    .map(|_| std::thread::spawn(move || copy(source, sink)))
                    .collect();
                all.into_iter().for_each(|one| one.join().unwrap());
                let mut end = [0_u8; 1];
                // SAFETY: both live until `gather` returns.
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
    fn state_that_does_not_fit_is_no_state_though_the_plugin_does_not_mind() {
        let put = |status| {
            gather(3, |sink| {
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
