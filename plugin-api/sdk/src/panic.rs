//! Nothing unwinds into the host: every entry of the plugin runs its body through [`run`].
//!
//! The panic hook only records the panic, in a variable of its thread. The code that catches the
//! panic takes the record and logs one line with the name of the callback. A record that is not
//! taken (a thread of the plugin panicked, or the plugin caught the panic itself) is logged at the
//! next panic or at the end of the thread.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use polyport_abi::{PP_E_PANIC, PpId, PpStatus};

use crate::log::{Level, write_raw};
use crate::status::{Error, Result};

/// Runs the body of a callback. An error is logged with its message, a panic with its location;
/// both become a code.
#[inline]
pub(crate) fn run<T>(
    callback: &'static str,
    who: PpId,
    body: impl FnOnce() -> Result<T>,
) -> Result<T, PpStatus> {
    // Half-changed state is never used again: it is poisoned, see `Poisoned`.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(refused(callback, who, &error)),
        Err(payload) => Err(panicked(callback, who, payload)),
    }
}

#[cold]
fn refused(callback: &'static str, who: PpId, error: &Error) -> PpStatus {
    if let Some(message) = error.message()
        && Level::Warn.enabled()
    {
        write_raw(who, Level::Warn, format_args!("{callback}: {message}"), &[]);
    }
    error.status().code()
}

#[cold]
fn panicked(callback: &'static str, who: PpId, payload: Box<dyn Any + Send>) -> PpStatus {
    // Dropping a payload runs the author's code, which may panic again.
    std::mem::forget(payload);
    let record = LAST_PANIC
        .try_with(|record| record.0.borrow_mut().take())
        .ok()
        .flatten();
    let record = record.unwrap_or_else(|| PanicRecord {
        message: "unknown".into(),
        place: "unknown".into(),
    });
    write_raw(
        who,
        Level::Error,
        format_args!(
            "{callback} panicked at {}: {}",
            record.place, record.message
        ),
        &[("callback", &callback), ("location", &record.place)],
    );
    PP_E_PANIC
}

/// Records panics instead of printing them. The hook is this plugin's own: each plugin has its own
/// runtime.
pub(crate) fn install_hook() {
    set_hook(Box::new(record_panic));
}

struct PanicRecord {
    message: String,
    place: String,
}

impl PanicRecord {
    fn log(&self) {
        let thread = "a thread of the plugin or a panic that it caught itself";
        write_raw(
            0,
            Level::Error,
            format_args!("panicked at {}: {} ({thread})", self.place, self.message),
            &[("location", &self.place)],
        );
    }
}

/// The last panic of this thread that was not logged.
struct LastPanic(RefCell<Option<PanicRecord>>);

impl Drop for LastPanic {
    fn drop(&mut self) {
        if let Some(record) = self.0.get_mut().take() {
            record.log();
        }
    }
}

thread_local! {
    static LAST_PANIC: LastPanic = const { LastPanic(RefCell::new(None)) };
}

fn record_panic(info: &PanicHookInfo<'_>) {
    let record = PanicRecord {
        message: info
            .payload_as_str()
            .unwrap_or("a value that is no text")
            .to_owned(),
        place: info
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string),
    };
    let earlier = LAST_PANIC.try_with(|slot| slot.0.borrow_mut().replace(record));
    if let Ok(Some(earlier)) = earlier {
        earlier.log();
    }
}

/// Objects with a caught panic. Their state is not used again: the host calls only `closed`, which
/// leaks it.
pub(crate) struct Poisoned {
    /// Their number, so that the usual check, for none, costs one load.
    count: AtomicUsize,
    ids: Mutex<BTreeSet<PpId>>,
}

pub(crate) static POISONED: Poisoned = Poisoned {
    count: AtomicUsize::new(0),
    ids: Mutex::new(BTreeSet::new()),
};

impl Poisoned {
    #[cold]
    pub(crate) fn insert(&self, id: PpId) {
        if self.ids().insert(id) {
            self.count.fetch_add(1, Ordering::Release);
        }
    }

    #[inline]
    pub(crate) fn contains(&self, id: PpId) -> bool {
        self.count.load(Ordering::Acquire) != 0 && self.ids().contains(&id)
    }

    #[inline]
    pub(crate) fn remove(&self, id: PpId) -> bool {
        if self.count.load(Ordering::Acquire) == 0 || !self.ids().remove(&id) {
            return false;
        }
        self.count.fetch_sub(1, Ordering::Release);
        true
    }

    fn ids(&self) -> MutexGuard<'_, BTreeSet<PpId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
