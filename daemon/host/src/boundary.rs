//! The door into a plugin: who is being called, on whose behalf, and since when.
//!
//! While a thread is inside a plugin, a thread-local says so; host functions read it to know their context (R5 of
//! the header). A worker also writes two words for the watchdog: relaxed stores, the only cost on the data path.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};

use crate::host_api::{HookApi, HostApi};
use crate::id::Id;
use crate::status::HostError;

/// Which callback runs; the name is the member's in the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "each is the member of the same name in stream.h and datagram.h"
)]
pub enum Callback {
    None,
    Open,
    OnData,
    OnWritable,
    OnWake,
    OnTimer,
    OnDrain,
    OnDialFailed,
    ExportState,
    ImportState,
    Closed,
    SocketOpen,
    OnDatagrams,
    OnSendError,
    SocketClosed,
    FlowOpen,
}

impl Callback {
    const ALL: [(Self, &'static str); 16] = [
        (Self::None, "none"),
        (Self::Open, "open"),
        (Self::OnData, "on_data"),
        (Self::OnWritable, "on_writable"),
        (Self::OnWake, "on_wake"),
        (Self::OnTimer, "on_timer"),
        (Self::OnDrain, "on_drain"),
        (Self::OnDialFailed, "on_dial_failed"),
        (Self::ExportState, "export_state"),
        (Self::ImportState, "import_state"),
        (Self::Closed, "closed"),
        (Self::SocketOpen, "socket_open"),
        (Self::OnDatagrams, "on_datagrams"),
        (Self::OnSendError, "on_send_error"),
        (Self::SocketClosed, "socket_closed"),
        (Self::FlowOpen, "flow_open"),
    ];

    /// The member's name in the header.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::from_code(self as u8).1
    }

    fn from_code(code: u8) -> (Self, &'static str) {
        Self::ALL
            .get(code as usize)
            .copied()
            .unwrap_or((Self::None, "none"))
    }
}

/// What a worker is doing, for the watchdog; one for each worker, for ever.
#[derive(Debug, Default)]
pub struct CallMarker {
    /// `sequence:24 | callback:8 | instance:32`; 0 while the worker is in its own code or asleep.
    call: AtomicU64,
    /// The id whose callback runs.
    id: AtomicU64,
    /// The worker must not enter a plugin any more.
    halted: AtomicBool,
}

/// What the watchdog saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Two sightings with the same word are of one call.
    pub word: u64,
    /// Index of the instance.
    pub instance: u32,
    /// Which callback.
    pub callback: Callback,
    /// About which stream, socket or flow.
    pub id: Id,
}

impl CallMarker {
    /// Looks, from any thread; `None` while no plugin runs.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "fields of the word")]
    pub fn look(&self) -> Option<Observation> {
        let word = self.call.load(Ordering::Relaxed);
        let id = Id::from_raw(self.id.load(Ordering::Relaxed));
        let callback = Callback::from_code((word >> 32) as u8).0;
        (word != 0).then_some(Observation {
            word,
            instance: word as u32,
            callback,
            id,
        })
    }

    fn enter(&self, sequence: u32, callback: Callback, instance: u32, id: Id) {
        self.id.store(id.raw(), Ordering::Relaxed);
        let word = u64::from(sequence) << 40 | (callback as u64) << 32 | u64::from(instance);
        self.call.store(word, Ordering::Relaxed);
    }

    /// Lets the worker enter no plugin any more: when it tries to, its thread sleeps for ever. For a worker that is
    /// given up at the end of a forced stop, while hooks of other instances are still to come. Give it some
    /// milliseconds, then [`look`](Self::look): what is still seen is a callback that has not returned.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
    }

    /// The worker's side: the call was announced before this, so either it sees that it is halted, or who halted it
    /// sees the call (processors hold stores back for nanoseconds, and `halt` is followed by milliseconds).
    #[inline]
    fn stop_if_halted(&self) {
        compiler_fence(Ordering::SeqCst);
        if self.halted.load(Ordering::Relaxed) {
            self.sleep_for_ever();
        }
    }

    #[cold]
    fn sleep_for_ever(&self) {
        self.rest();
        loop {
            std::thread::park();
        }
    }

    /// Says that the worker is in its own code.
    pub fn rest(&self) {
        self.call.store(0, Ordering::Relaxed);
    }
}

/// In which context a thread is.
#[derive(Clone, Copy)]
enum Context {
    Outside,
    /// `[io]`, on behalf of this id.
    Io(Id),
    /// `[ctl]`, on behalf of this instance.
    Hook(Id),
}

thread_local! {
    static CONTEXT: Cell<Context> = const { Cell::new(Context::Outside) };
    static DESK: Cell<Option<NonNull<dyn HostApi>>> = const { Cell::new(None) };
    static HOOK_DESK: Cell<Option<NonNull<dyn HookApi>>> = const { Cell::new(None) };
    static WATCHED: Cell<Option<&'static CallMarker>> = const { Cell::new(None) };
    static SEQUENCE: Cell<u32> = const { Cell::new(0) };
    /// What `reserve` and `attribute` have lent for the running callback.
    static LENT: RefCell<Lent> = const { RefCell::new(Lent::NOTHING) };
}

/// Memory that is lent to a plugin until its callback returns.
pub(crate) struct Lent {
    /// For `reserve` and `commit`.
    pub(crate) room: Vec<u8>,
    /// The stream for which room is reserved, and how much.
    pub(crate) reserved: Option<(Id, usize)>,
    /// For `attribute`.
    pub(crate) values: Vec<Box<[u8]>>,
}

impl Lent {
    const NOTHING: Self = Self {
        room: Vec::new(),
        reserved: None,
        values: Vec::new(),
    };
}

/// Runs `work` on this thread with `desk` as the one that answers `[io]` calls, and `marker` as its sign.
pub fn serve<R>(desk: &dyn HostApi, marker: &'static CallMarker, work: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            DESK.set(None);
            WATCHED.set(None);
        }
    }
    // SAFETY: only the lifetime is erased; `Leave` takes the pointer back before `desk` goes, also on unwinding,
    // and the thread-local cannot be reached from another thread.
    let erased = unsafe {
        std::mem::transmute::<NonNull<dyn HostApi + '_>, NonNull<dyn HostApi>>(NonNull::from(desk))
    };
    DESK.set(Some(erased));
    WATCHED.set(Some(marker));
    let _leave = Leave;
    work()
}

/// An `[io]` call is running while this lives.
#[derive(Debug)]
pub(crate) struct IoCall(());

impl IoCall {
    #[inline]
    pub(crate) fn enter(callback: Callback, instance: u32, id: Id) -> Self {
        CONTEXT.set(Context::Io(id));
        let sequence = SEQUENCE.get().wrapping_add(1) & 0x00ff_ffff;
        SEQUENCE.set(sequence);
        if let Some(marker) = WATCHED.get() {
            marker.enter(sequence.max(1), callback, instance, id);
            marker.stop_if_halted();
        }
        Self(())
    }
}

impl Drop for IoCall {
    #[inline]
    fn drop(&mut self) {
        CONTEXT.set(Context::Outside);
        LENT.with_borrow_mut(|lent| {
            lent.reserved = None;
            if !lent.values.is_empty() {
                lent.values.clear();
            }
        });
    }
}

/// Runs a `[ctl]` call of an instance, with `desk` as the one that answers.
pub(crate) fn hook<R>(instance: Id, desk: &dyn HookApi, call: impl FnOnce() -> R) -> R {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            HOOK_DESK.set(None);
            CONTEXT.set(Context::Outside);
        }
    }
    // SAFETY: as in `serve`: only the lifetime is erased, and `Leave` takes the pointer back before `desk` goes.
    let erased = unsafe {
        std::mem::transmute::<NonNull<dyn HookApi + '_>, NonNull<dyn HookApi>>(NonNull::from(desk))
    };
    HOOK_DESK.set(Some(erased));
    CONTEXT.set(Context::Hook(instance));
    let _leave = Leave;
    call()
}

/// Answers an `[io]` call of a plugin: with the worker's desk and the id whose callback runs.
pub(crate) fn with_host<R>(
    answer: impl FnOnce(&dyn HostApi, Id) -> Result<R, HostError>,
) -> Result<R, HostError> {
    let (Context::Io(caller), Some(desk)) = (CONTEXT.get(), DESK.get()) else {
        return Err(HostError::Context);
    };
    // SAFETY: `serve` holds the desk borrowed on this very thread as long as the pointer stands there.
    answer(unsafe { desk.as_ref() }, caller)
}

/// Answers a `[ctl]` call of a plugin: with the instance's desk and the instance whose hook runs.
pub(crate) fn with_hook_host<R>(
    answer: impl FnOnce(&dyn HookApi, Id) -> Result<R, HostError>,
) -> Result<R, HostError> {
    let (Context::Hook(instance), Some(desk)) = (CONTEXT.get(), HOOK_DESK.get()) else {
        return Err(HostError::Context);
    };
    // SAFETY: `hook` holds the desk borrowed on this very thread as long as the pointer stands there.
    answer(unsafe { desk.as_ref() }, instance)
}

/// The instance whose hook runs on this thread.
pub(crate) fn hook_instance() -> Option<Id> {
    match CONTEXT.get() {
        Context::Hook(instance) => Some(instance),
        _ => None,
    }
}

/// Lends memory for the running `[io]` callback.
pub(crate) fn lend<R>(take: impl FnOnce(&mut Lent) -> R) -> R {
    LENT.with_borrow_mut(take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Kind;

    #[test]
    fn the_watchdog_sees_who_is_called_and_tells_one_call_from_the_next() {
        let marker = CallMarker::default();
        assert_eq!(marker.look(), None);
        let id = Id::new(Kind::Stream, 1, 2, 3);
        marker.enter(1, Callback::OnData, 9, id);
        let first = marker.look().unwrap();
        assert_eq!(
            (first.instance, first.callback, first.id),
            (9, Callback::OnData, id)
        );
        marker.enter(2, Callback::OnData, 9, id);
        assert_ne!(marker.look().unwrap().word, first.word);
        marker.rest();
        assert_eq!(marker.look(), None);
    }

    #[test]
    fn outside_a_callback_no_desk_answers() {
        assert_eq!(with_host(|_, _| Ok(())), Err(HostError::Context));
        assert_eq!(with_hook_host(|_, _| Ok(())), Err(HostError::Context));
    }
}
