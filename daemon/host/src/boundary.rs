//! Every call into a plugin passes here, so that the thread's context is known while the call runs.
//!
//! A thread-local holds the context; host functions read it to refuse calls from a wrong one (R5 of the header). A worker
//! also stores two words for the watchdog, relaxed: the only cost on the data path.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};

use crate::host_api::{HookApi, HostApi};
use crate::id::Id;
use crate::instance::Instance;
use crate::registry::{Registry, registry};
use crate::status::HostError;

/// The callbacks with the names of their members in the header.
macro_rules! callbacks {
    ($($callback:ident $name:literal,)*) => {
        /// Which callback runs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is a member in stream.h or datagram.h")]
        pub enum Callback {
            $($callback,)*
        }

        impl Callback {
            const ALL: &[(Self, &'static str)] = &[$((Self::$callback, $name),)*];
        }
    };
}

callbacks! {
    None "none",
    Open "open",
    OnData "on_data",
    OnWritable "on_writable",
    OnWake "on_wake",
    OnTimer "on_timer",
    OnDrain "on_drain",
    OnDialFailed "on_dial_failed",
    ExportState "export_state",
    ImportState "import_state",
    Closed "closed",
    SocketOpen "socket_open",
    OnDatagrams "on_datagrams",
    OnSendError "on_send_error",
    SocketClosed "socket_closed",
    FlowOpen "flow_open",
}

impl Callback {
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

/// The callback that a worker is in, for the watchdog. Each worker has one, which is never freed.
#[derive(Debug, Default)]
pub struct CallMarker {
    /// `sequence:24 | callback:8 | instance:32`; 0 while the worker is in its own code or asleep.
    call: AtomicU64,
    /// The id whose callback runs.
    id: AtomicU64,
    /// The worker must not enter a plugin any more.
    halted: AtomicBool,
}

/// A callback that was running when the watchdog looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// Observations with the same word are of one call.
    pub word: u64,
    /// Number of the instance.
    pub instance: u32,
    /// Which callback.
    pub callback: Callback,
    /// The stream, socket or flow that it is for.
    pub id: Id,
}

impl CallMarker {
    /// Reads the marker, from any thread; `None` while no plugin runs.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "fields of the word")]
    pub fn observe(&self) -> Option<Observation> {
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

    /// Keeps the worker out of plugins: when it next enters one, its thread sleeps for ever. For a worker that is given
    /// up at the end of a forced stop, before the last hooks of instances are called. Some milliseconds later
    /// [`observe`](Self::observe) shows a callback only if that has not returned.
    pub fn halt(&self) {
        self.halted.store(true, Ordering::SeqCst);
    }

    /// The worker's side of `halt`. The call was stored before: either the worker reads `halted` here, or the caller of
    /// `halt` observes the call (a processor holds a store back for nanoseconds, and that caller waits milliseconds).
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

    /// Notes that the worker is in its own code.
    pub fn rest(&self) {
        self.call.store(0, Ordering::Relaxed);
    }
}

/// The context of a thread, as the header's tags name it.
#[derive(Clone, Copy)]
enum Context {
    Outside,
    /// `[io]`, on behalf of this id.
    Io(Id),
    /// `[ctl]`, on behalf of this instance.
    Hook(Id),
}

/// What host functions need to know of their thread. It is one thread-local without a destructor, so a callback is entered
/// and left with one address and no check.
struct CallState {
    context: Cell<Context>,
    host: Cell<Option<NonNull<dyn HostApi>>>,
    hook_host: Cell<Option<NonNull<dyn HookApi>>>,
    registry: Cell<Option<NonNull<Registry>>>,
    marker: Cell<Option<&'static CallMarker>>,
    sequence: Cell<u32>,
    /// [`LENT`] may hold something that ends with the callback.
    has_lent: Cell<bool>,
}

thread_local! {
    static CALL: CallState = const {
        CallState {
            context: Cell::new(Context::Outside),
            host: Cell::new(None),
            hook_host: Cell::new(None),
            registry: Cell::new(None),
            marker: Cell::new(None),
            sequence: Cell::new(0),
            has_lent: Cell::new(false),
        }
    };
    /// Memory that `reserve` and `attribute` lent for the running callback.
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

/// Runs `work` on this thread. Meanwhile `host` answers `[io]` calls, host functions of any kind use `registry`, and
/// `marker` shows the running callback to the watchdog.
pub fn serve<R>(
    registry: &Registry,
    host: &dyn HostApi,
    marker: &'static CallMarker,
    work: impl FnOnce() -> R,
) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CALL.with(|call| {
                call.host.set(None);
                call.registry.set(None);
                call.marker.set(None);
            });
        }
    }
    // SAFETY: only the lifetime is erased; `Reset` removes the pointer before `host` goes, also on unwinding,
    // and the thread-local cannot be reached from another thread.
    let erased = unsafe {
        std::mem::transmute::<NonNull<dyn HostApi + '_>, NonNull<dyn HostApi>>(NonNull::from(host))
    };
    CALL.with(|call| {
        call.host.set(Some(erased));
        call.registry.set(Some(NonNull::from(registry)));
        call.marker.set(Some(marker));
    });
    let _reset = Reset;
    work()
}

/// Marks this thread as inside an `[io]` callback until it is dropped.
#[derive(Debug)]
pub(crate) struct IoCall(());

impl IoCall {
    #[inline]
    pub(crate) fn enter(callback: Callback, instance: u32, id: Id) -> Self {
        CALL.with(|call| {
            call.context.set(Context::Io(id));
            let sequence = call.sequence.get().wrapping_add(1) & 0x00ff_ffff;
            call.sequence.set(sequence);
            if let Some(marker) = call.marker.get() {
                marker.enter(sequence.max(1), callback, instance, id);
                marker.stop_if_halted();
            }
        });
        Self(())
    }
}

impl Drop for IoCall {
    #[inline]
    fn drop(&mut self) {
        CALL.with(|call| {
            call.context.set(Context::Outside);
            if call.has_lent.get() {
                call.has_lent.set(false);
                end_loans();
            }
        });
    }
}

#[cold]
fn end_loans() {
    LENT.with_borrow_mut(|lent| {
        lent.reserved = None;
        lent.values.clear();
    });
}

/// Runs a `[ctl]` call of an instance, with `host` as the one that answers.
pub(crate) fn hook<R>(instance: &Instance, host: &dyn HookApi, run: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            CALL.with(|call| {
                call.hook_host.set(None);
                call.registry.set(None);
                call.context.set(Context::Outside);
            });
        }
    }
    // SAFETY: as in `serve`: only the lifetime is erased, and `Reset` removes the pointer before `host` goes.
    let erased = unsafe {
        std::mem::transmute::<NonNull<dyn HookApi + '_>, NonNull<dyn HookApi>>(NonNull::from(host))
    };
    CALL.with(|call| {
        call.hook_host.set(Some(erased));
        call.registry
            .set(Some(NonNull::from(&**instance.registry())));
        call.context.set(Context::Hook(instance.id()));
    });
    let _reset = Reset;
    run()
}

/// Answers an `[io]` call of a plugin: with the worker's host and the id whose callback runs.
pub(crate) fn with_host<R>(
    answer: impl FnOnce(&dyn HostApi, Id) -> Result<R, HostError>,
) -> Result<R, HostError> {
    let (context, host) = CALL.with(|call| (call.context.get(), call.host.get()));
    let (Context::Io(caller), Some(host)) = (context, host) else {
        return Err(HostError::Context);
    };
    // SAFETY: `serve` holds the host borrowed on this very thread as long as the pointer stands there.
    answer(unsafe { host.as_ref() }, caller)
}

/// Answers a `[ctl]` call of a plugin: with the instance's host and the instance whose hook runs.
pub(crate) fn with_hook_host<R>(
    answer: impl FnOnce(&dyn HookApi, Id) -> Result<R, HostError>,
) -> Result<R, HostError> {
    let (context, host) = CALL.with(|call| (call.context.get(), call.hook_host.get()));
    let (Context::Hook(instance), Some(host)) = (context, host) else {
        return Err(HostError::Context);
    };
    // SAFETY: `hook` holds the host borrowed on this very thread as long as the pointer stands there.
    answer(unsafe { host.as_ref() }, instance)
}

/// Runs `work` with this thread's registry: that of its worker or hook, else the process's.
pub(crate) fn with_registry<R>(work: impl FnOnce(&Registry) -> R) -> R {
    match CALL.with(|call| call.registry.get()) {
        // SAFETY: `serve` and `hook` hold the registry borrowed on this very thread as long as the pointer stands
        // there.
        Some(registry) => work(unsafe { registry.as_ref() }),
        None => work(registry()),
    }
}

/// The instance whose hook runs on this thread.
pub(crate) fn hook_instance() -> Option<Id> {
    match CALL.with(|call| call.context.get()) {
        Context::Hook(instance) => Some(instance),
        _ => None,
    }
}

/// Lends memory for the running `[io]` callback.
pub(crate) fn lend<R>(take: impl FnOnce(&mut Lent) -> R) -> R {
    CALL.with(|call| call.has_lent.set(true));
    LENT.with_borrow_mut(take)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Kind;

    #[test]
    fn call_marker_shows_the_callback_and_distinguishes_calls() {
        let marker = CallMarker::default();
        assert_eq!(marker.observe(), None);
        let id = Id::new(Kind::Stream, 1, 2, 3);
        marker.enter(1, Callback::OnData, 9, id);
        let first = marker.observe().unwrap();
        assert_eq!(
            (first.instance, first.callback, first.id),
            (9, Callback::OnData, id)
        );
        marker.enter(2, Callback::OnData, 9, id);
        assert_ne!(marker.observe().unwrap().word, first.word);
        marker.rest();
        assert_eq!(marker.observe(), None);
    }

    #[test]
    fn boundary_refuses_host_calls_outside_of_a_callback() {
        assert_eq!(with_host(|_, _| Ok(())), Err(HostError::Context));
        assert_eq!(with_hook_host(|_, _| Ok(())), Err(HostError::Context));
    }
}
