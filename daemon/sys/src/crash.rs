//! `SEGV` and `BUS` end the process also when another process sent them.
//!
//! The runtime handles both to report a stack overflow. For any other cause it restores the default action and
//! returns, expecting that the faulting instruction raises the signal again. A sent signal is not raised again, so
//! the first `kill -SEGV` would have no effect.
#![expect(unsafe_code, reason = "a handler of signals has no safe wrapper")]

use std::io;
use std::sync::OnceLock;

use libc::{c_int, c_void, siginfo_t};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};

/// The handlers that were installed before.
static BEFORE: [OnceLock<SigHandler>; 2] = [const { OnceLock::new() }; 2];

/// Makes both signals end the process when they were sent; a fault goes to the previous handler.
pub(crate) fn end_when_sent() -> io::Result<()> {
    let ours = SigAction::new(
        SigHandler::SigAction(on_signal),
        // An overflowed stack has no room for a handler.
        SaFlags::SA_SIGINFO | SaFlags::SA_ONSTACK,
        SigSet::empty(),
    );
    for (signal, before) in [Signal::SIGSEGV, Signal::SIGBUS].into_iter().zip(&BEFORE) {
        // SAFETY: `on_signal` is async-signal-safe: it reads a cell that is written once, and makes system calls.
        let action = unsafe { sigaction(signal, &ours) }?;
        // Already set if this function was called twice: the first handler counts.
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
    // SAFETY: the kernel passes a handler with `SA_SIGINFO` a valid `siginfo_t`.
    let was_sent = unsafe { (*about).si_code } <= 0;
    match before {
        Some(SigHandler::SigAction(handle)) if !was_sent => handle(number, about, context),
        _ => end_by_default(number, was_sent),
    }
}

/// A fault is raised again when its handler returns; a sent signal has to be raised here.
fn end_by_default(number: c_int, was_sent: bool) {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    let Ok(signal) = Signal::try_from(number) else {
        return;
    };
    // SAFETY: the default action runs no code of this process.
    let done = unsafe { sigaction(signal, &default) };
    if done.is_ok() && was_sent {
        // Blocked until the handler returns; then it ends the process.
        raise(signal).unwrap_or(());
    }
}
