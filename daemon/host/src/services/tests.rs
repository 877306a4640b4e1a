//! The host functions as a plugin calls them, with a host API that only notes.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tracing_subscriber::util::SubscriberInitExt;

use super::*;
use crate::boundary::{CallMarker, Callback, IoCall, serve};
use crate::host_api::{HostApi, OutgoingList};
use crate::registry::Registry;
use crate::stream::slice;
use crate::wake_table::{IdAllocator, WakeTable};

const STREAM: Id = Id::new(Kind::Stream, 0, 1, 1);
const OTHER: Id = Id::new(Kind::Stream, 0, 2, 1);
const FLOW: Id = Id::new(Kind::Flow, 0, 3, 1);

#[derive(Default)]
struct Notes {
    written: RefCell<Vec<(Id, Vec<u8>)>>,
    closed: Cell<Option<CloseHow>>,
}

impl HostApi for Notes {
    fn now(&self) -> u64 {
        0
    }

    fn write(&self, _: Id, id: Id, pieces: &[IoSlice<'_>], _: bool) -> Result<Level, HostError> {
        let bytes = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
        self.written.borrow_mut().push((id, bytes));
        Ok(Level::Below)
    }

    fn room(&self, _: Id, _: Id, _: usize) -> Result<(), HostError> {
        Ok(())
    }

    fn set_reads(&self, _: Id, _: Id, _: bool) -> Result<(), HostError> {
        panic!("a fault of the host")
    }

    fn set_watermarks(&self, _: Id, _: Id, _: usize, _: usize) -> Result<(), HostError> {
        Ok(())
    }

    fn close(&self, _: Id, _: Id, how: CloseHow, _: &str) -> Result<(), HostError> {
        self.closed.set(Some(how));
        Ok(())
    }

    fn attribute(&self, _: Id, _: Id, _: &str) -> Result<Vec<u8>, HostError> {
        Err(HostError::Unsupported)
    }

    fn timer_set(
        &self,
        _: Id,
        _: Id,
        _: u32,
        _: Duration,
        _: Option<Duration>,
    ) -> Result<(), HostError> {
        Ok(())
    }

    fn timer_cancel(&self, _: Id, _: Id, _: u32) -> Result<(), HostError> {
        Ok(())
    }

    fn dial(&self, _: Id, _: Id, _: Dial) -> Result<(), HostError> {
        Ok(())
    }

    fn send_datagrams(&self, _: Id, _: Id, _: &dyn OutgoingList) -> Result<usize, HostError> {
        panic!("a fault of the host")
    }
}

fn served(work: impl FnOnce(&Notes)) {
    let notes = Notes::default();
    let marker = Box::leak(Box::new(CallMarker::default()));
    serve(&Registry::default(), &notes, marker, || work(&notes));
}

fn callback() -> IoCall {
    IoCall::enter(Callback::OnData, 0, STREAM)
}

/// Reserves room and fills it.
fn put(id: Id, bytes: &[u8]) {
    let mut into = std::ptr::null_mut();
    // SAFETY: the room has the length of the bytes until commit or the end of the callback.
    unsafe {
        assert_eq!(reserve(id.raw(), bytes.len(), &raw mut into), abi::PP_OK);
        into.cast::<u8>()
            .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
}

fn committed(id: Id, len: usize) -> PpStatus {
    // SAFETY: numbers only.
    unsafe { commit(id.raw(), len, 0) }
}

#[test]
fn reserve_and_commit_belong_to_one_stream_and_one_callback() {
    served(|notes| {
        let call = callback();
        put(OTHER, b"a secret of another");
        assert_eq!(committed(OTHER, 8), abi::PP_OK);
        // Nothing is reserved any more.
        assert_eq!(committed(OTHER, 8), abi::PP_E_INVAL);
        assert_eq!(committed(STREAM, 8), abi::PP_E_INVAL);
        put(STREAM, b"mine");
        assert_eq!(committed(STREAM, 5), abi::PP_E_INVAL);
        put(OTHER, b"theirs");
        assert_eq!(committed(STREAM, 4), abi::PP_E_INVAL);
        put(OTHER, b"theirs");
        put(STREAM, b"mine");
        assert_eq!(committed(STREAM, 3), abi::PP_OK);
        put(STREAM, b"late");
        drop(call);
        let _next = callback();
        assert_eq!(committed(STREAM, 4), abi::PP_E_INVAL);
        let expected = [(OTHER, b"a secret".to_vec()), (STREAM, b"min".to_vec())];
        assert_eq!(*notes.written.borrow(), expected);
    });
}

#[test]
fn close_refuses_an_unknown_way_for_streams_only() {
    served(|notes| {
        let _call = callback();
        // SAFETY: there is no text.
        let closed = |id: Id, how| unsafe { close(id.raw(), how, std::ptr::null()) };
        assert_eq!(closed(STREAM, 9), abi::PP_E_INVAL);
        assert_eq!(notes.closed.take(), None);
        assert_eq!(closed(FLOW, 9), abi::PP_OK);
        assert_eq!(notes.closed.take(), Some(CloseHow::Flush));
        assert_eq!(closed(STREAM, abi::PP_CLOSE_RESET), abi::PP_OK);
        assert_eq!(notes.closed.take(), Some(CloseHow::Reset));
    });
}

#[test]
fn services_keep_a_panic_of_the_host_out_of_plugins() {
    served(|_| {
        let _call = callback();
        // SAFETY: nothing is sent.
        unsafe {
            assert_eq!(set_reads(STREAM.raw(), 1), abi::PP_E_FAIL);
            let sent = send_datagrams(STREAM.raw(), std::ptr::null(), 0, 0);
            assert_eq!(sent, i64::from(abi::PP_E_FAIL));
        }
    });
}

/// Times that [`AtEnd`] came back from the log.
static LOGGED: AtomicU32 = AtomicU32::new(0);

fn log_a_line() {
    let line = slice("a word");
    // SAFETY: the line lives until the call is over, and there are no pairs.
    unsafe { observe::log(0, abi::PP_LOG_ERROR, &raw const line, std::ptr::null(), 0) };
}

/// Logs when its thread ends.
struct AtEnd;

impl Drop for AtEnd {
    fn drop(&mut self) {
        log_a_line();
        LOGGED.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn log_works_on_a_thread_that_ends() {
    thread_local!(static AT_END: AtEnd = const { AtEnd });
    // A way to write that has thread-locals of its own, as the daemon's.
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::sink)
        .finish();
    let _none_or_set = log.try_init();
    let ended = std::thread::spawn(|| {
        AT_END.with(|_| ());
        // What this makes on the thread is gone before `AT_END`, which is older.
        log_a_line();
    });
    ended.join().unwrap();
    assert_eq!(LOGGED.load(Ordering::Relaxed), 1);
}

#[test]
fn registry_a_wake_reaches_the_table_of_the_registry_that_the_thread_serves() {
    let make = || {
        let table = Arc::new(WakeTable::new(0, Box::new(|| ())));
        let registry = Registry::default();
        registry.set_wake_tables(vec![Arc::clone(&table)]);
        let ids = IdAllocator::new(table);
        let id = ids.add(Kind::Stream, 0).unwrap();
        (registry, ids, id)
    };
    let [(one, of_one, id), (other, of_other, same)] = [make(), make()];
    assert_eq!(id, same);
    let woken = |ids: &IdAllocator| {
        let mut woken = Vec::new();
        ids.take_woken(&mut woken);
        woken
    };
    for (registry, bits) in [(&one, 1), (&other, 2)] {
        let marker = Box::leak(Box::new(CallMarker::default()));
        // SAFETY: numbers only.
        let status = serve(registry, &Notes::default(), marker, || unsafe {
            wake(id.raw(), bits)
        });
        assert_eq!(status, abi::PP_OK);
    }
    assert_eq!(woken(&of_one), [(id, 1)]);
    assert_eq!(woken(&of_other), [(id, 2)]);
    // SAFETY: numbers only. This thread serves nothing.
    assert_eq!(unsafe { wake(id.raw(), 4) }, abi::PP_E_GONE);
}
