//! The errors of a probe or load that did not end well, by the step that it had reached.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use crate::load_error::{ErrorCode, LoadError};
use crate::probe_protocol::Step;

pub(crate) fn overran(step: &Step, deadline: Duration) -> LoadError {
    let code = match step {
        Step::Starting => ErrorCode::ProbeFailed,
        Step::Opening | Step::Entering | Step::Negotiating => ErrorCode::ConstructorHung,
        Step::Init => ErrorCode::InitOverran,
        Step::Validating(_) => ErrorCode::ValidateOverran,
    };
    LoadError::new(
        code,
        format!("{} did not end within {deadline:?}", subject(step)),
    )
}

/// A thread of this process ended in the middle of a step.
pub(crate) fn vanished(step: &Step) -> LoadError {
    let code = match step {
        Step::Starting => ErrorCode::ProbeFailed,
        Step::Opening => ErrorCode::ConstructorCrashed,
        Step::Entering | Step::Negotiating => ErrorCode::TablesInvalid,
        Step::Init => ErrorCode::InitFailed,
        Step::Validating(_) => ErrorCode::ValidateCrashed,
    };
    LoadError::new(code, format!("{} ended its thread", subject(step)))
}

pub(crate) fn died(step: &Step, status: Option<ExitStatus>, last_words: &str) -> LoadError {
    let words = if last_words.is_empty() {
        String::new()
    } else {
        format!(" ({last_words})")
    };
    let subject = subject(step);
    let signal = status.and_then(|status| status.signal());
    let Some(signal) = signal else {
        let exit = status.and_then(|status| status.code()).unwrap_or(-1);
        let code = match (step, exit) {
            (Step::Starting, _) => ErrorCode::ProbeFailed,
            // The dynamic linker's own way out when a file contradicts itself.
            (Step::Opening, 127) => ErrorCode::OpenFailed,
            _ => ErrorCode::Exited,
        };
        return LoadError::new(
            code,
            format!("{subject} ended the process with {exit}{words}"),
        );
    };
    let late = matches!(signal, libc::SIGALRM | libc::SIGXCPU);
    let code = match step {
        Step::Starting => ErrorCode::ProbeFailed,
        Step::Opening if late => ErrorCode::ConstructorHung,
        Step::Opening => ErrorCode::ConstructorCrashed,
        Step::Entering | Step::Negotiating => ErrorCode::TablesInvalid,
        Step::Init if late => ErrorCode::InitOverran,
        Step::Init => ErrorCode::InitCrashed,
        Step::Validating(_) if late => ErrorCode::ValidateOverran,
        Step::Validating(_) => ErrorCode::ValidateCrashed,
    };
    LoadError::new(
        code,
        format!("{subject} died by {}{words}", signal_name(signal)),
    )
}

fn subject(step: &Step) -> String {
    match step {
        Step::Starting => "the probe".to_owned(),
        Step::Opening => "a constructor, or the loading itself,".to_owned(),
        Step::Entering => "its entry function".to_owned(),
        Step::Negotiating => "reading its tables".to_owned(),
        Step::Init => "init".to_owned(),
        Step::Validating(handler) => format!("validate of handler {handler}"),
    }
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGSEGV => "SIGSEGV (it touched memory that is not there)",
        libc::SIGBUS => "SIGBUS (it touched memory that is not there)",
        libc::SIGABRT => "SIGABRT (it gave up)",
        libc::SIGILL => "SIGILL (it ran what is no instruction)",
        libc::SIGFPE => "SIGFPE (it divided by zero)",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGSYS => "SIGSYS (it made a forbidden system call)",
        libc::SIGALRM => "SIGALRM (out of time)",
        libc::SIGXCPU => "SIGXCPU (out of processor time)",
        libc::SIGXFSZ => "SIGXFSZ (it wrote too long a file)",
        libc::SIGKILL => "SIGKILL (it closed foreign descriptors, or memory ran out)",
        _ => return format!("signal {signal}"),
    };
    name.to_owned()
}
