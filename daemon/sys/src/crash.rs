//! `SEGV` and `BUS` that somebody sends, which are to end the process like those of a fault.
//!
//! The runtime handles both, to tell of a stack that overflowed. Anything else it takes for a fault that will come again
//! at once, so it lets go of the signal and returns. One that was sent does not come again: the first `kill -SEGV`
//! would do nothing.
#![expect(unsafe_code, reason = "a handler of signals has no safe wrapper")]

use std::io;
use std::sync::OnceLock;

use libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// What handled `SEGV` and `BUS` before.
static BEFORE: [OnceLock<SigHandler>; 2] = [const { OnceLock::new() }; 2];

/// Makes both signals end the process when they were sent; those of a fault go where they went before.
pub(crate) fn end_when_sent() -> io::Result<()> {
    let ours = SigAction::new(
        SigHandler::SigAction(on_signal),
        // A stack that overflowed has no room for a handler.
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    for (signal, before) in [Signal::SIGSEGV, Signal::SIGBUS].into_iter().zip(&BEFORE) {
        // SAFETY: `on_signal` does only what a handler may: it reads a cell that is written once, and makes system calls.
        let action = unsafe { sigaction(signal, &ours) }?;
        // Set already if it was called twice: what was there first counts.
        before.get_or_init(|| action.handler());
    }
    Ok(())
}

extern "C" fn on_signal(number: c_int, about: *mut siginfo_t, context: *mut c_void) {
    let [segv, bus] = &BEFORE;
    let before = if number == Signal::SIGSEGV as c_int {
        segv.get()
    } else {
        bus.get()
    };
    // SAFETY: the kernel gives a handler with `SA_SIGINFO` a pointer to what it knows of the signal.
    let was_sent = unsafe { (*about).si_code } <= 0;
    match before {
        Some(SigHandler::SigAction(handle)) if !was_sent => handle(number, about, context),
        _ => end_by_default(number, was_sent),
    }
}

/// A fault comes again as soon as its handler has returned; what was sent is sent again.
fn end_by_default(number: c_int, was_sent: bool) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let Ok(signal) = Signal::try_from(number) else {
        return;
    };
    // SAFETY: the default action runs no code of ours.
    let done = unsafe { sigaction(signal, &default) };
    if done.is_ok() && was_sent {
        // Blocked until the handler has returned; then it is what ends the process.
        raise(signal).unwrap_or(());
    }
}
