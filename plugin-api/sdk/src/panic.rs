//! Nothing unwinds across the border: every entry of the plugin runs its body through [`run`].
//!
//! The panic hook only notes what happened, in the thread where it happened. Who catches the panic
//! takes the note and logs one line that names the callback. A note that nobody takes (a thread of
//! the plugin's own died, or the plugin caught the panic itself) is logged when the next note comes
//! or the thread ends.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use polyport_abi::{PP_E_PANIC, PpId, PpStatus};

use crate::log::{Level, write_raw};
use crate::status::{Error, Result};

/// Runs the body of a callback. A refusal is logged with its reason, a panic with its place; both
/// become a code.
#[inline]
pub(crate) fn run<T>(
    callback: &'static str,
    who: PpId,
    body: impl FnOnce() -> Result<T>,
) -> Result<T, PpStatus> {
    // What the body left half-done is never looked at again: its state is poisoned, see `Poisoned`.
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
    // Dropping a payload runs code of the author's, which may panic again.
    std::mem::forget(payload);
    let note = NOTE
        .try_with(|note| note.0.borrow_mut().take())
        .ok()
        .flatten();
    let note = note.unwrap_or_else(|| Note {
        message: "unknown".into(),
        place: "unknown".into(),
    });
    write_raw(
        who,
        Level::Error,
        format_args!("{callback} panicked at {}: {}", note.place, note.message),
        &[("callback", &callback), ("location", &note.place)],
    );
    PP_E_PANIC
}

/// Lets panics be noted instead of printed. The hook is this plugin's own: each one has its own
/// runtime.
pub(crate) fn install_hook() {
    set_hook(Box::new(take_note));
}

struct Note {
    message: String,
    place: String,
}

impl Note {
    fn log_untaken(&self) {
        let thread = "a thread of the plugin or a panic that it caught itself";
        write_raw(
            0,
            Level::Error,
            format_args!("panicked at {}: {} ({thread})", self.place, self.message),
            &[("location", &self.place)],
        );
    }
}

/// The last panic of this thread that nobody has logged.
struct Untaken(RefCell<Option<Note>>);

impl Drop for Untaken {
    fn drop(&mut self) {
        if let Some(note) = self.0.get_mut().take() {
            note.log_untaken();
        }
    }
}

thread_local! {
    static NOTE: Untaken = const { Untaken(RefCell::new(None)) };
}

fn take_note(info: &PanicHookInfo<'_>) {
    let note = Note {
        message: info
            .payload_as_str()
            .unwrap_or("a value that is no text")
            .to_owned(),
        place: info
            .location()
            .map_or_else(|| "unknown".to_owned(), ToString::to_string),
    };
    let earlier = NOTE.try_with(|slot| slot.0.borrow_mut().replace(note));
    if let Ok(Some(earlier)) = earlier {
        earlier.log_untaken();
    }
}

/// The streams, sockets and flows in whose callbacks a panic was caught. Their state is not touched
/// again: the host only calls `closed` for them, and that leaks it.
pub(crate) struct Poisoned {
    /// How many there are, so that the usual answer, none, costs one load.
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
