//! The child's side of a probe: opens the sealed copy, negotiates, calls `init` and `validate`, and
//! says before each step what it is about to do. It ends by `_exit`, so that nothing of the plugin
//! can hold it up.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use polyport_abi::{PP_E_PANIC, PpSlice, PpStatus};
use polyport_sys::limits::{ChildLimits, limit_child};
use polyport_sys::process::exit_now;

use crate::generation::{Handler, initialise};
use crate::inspect::{Inspection, inspect};
use crate::library::{Library, missing};
use crate::load_error::{LoadError, LoadErrorCode};
use crate::negotiate::{Contract, negotiate};
use crate::probe::{HandlerSummary, ProbeReport, Validation, Verdict};
use crate::probe_host;
use crate::probe_protocol::{Message, Order, Step};
use crate::report::{Finding, collect};
use crate::transfer::are_stateless;

/// The whole `main` of a probe child. For the daemon's hidden subcommand, before anything else.
///
/// Comes back only when standard input and output are not what the parent makes them.
#[must_use]
pub fn probe_child() -> ExitCode {
    let Ok(talk) = Talk::take_over() else {
        return ExitCode::from(USAGE);
    };
    let last = match talk.order().and_then(|order| run(&talk, &order)) {
        Ok(report) => Message::Finished(report),
        Err(refusal) => Message::Refused(refusal),
    };
    talk.say(&last);
    exit_now(0)
}

fn run(talk: &Talk, order: &Order) -> Result<ProbeReport, LoadError> {
    limit(order);
    let inspection = inspect(&read_copy()?)?;
    talk.reach(Step::Opening);
    let library = open(&inspection)?;
    talk.reach(Step::Entering);
    let entry = library.enter()?;
    talk.reach(Step::Negotiating);
    // SAFETY: the entry of a plugin returned it.
    let contract = unsafe { negotiate(entry, &inspection.note) }?;
    talk.reach(Step::Init);
    initialise(&contract.table, probe_host::table())?;
    let mut validations = Vec::with_capacity(order.validations.len());
    for validation in &order.validations {
        validations.push(validate(talk, &contract, validation));
    }
    let Contract {
        id,
        version,
        license,
        handlers,
        ..
    } = contract;
    let handlers = handlers.into_iter().map(summary).collect();
    Ok(ProbeReport {
        id,
        version,
        license,
        handlers,
        validations,
        log: Vec::new(),
    })
}

fn limit(order: &Order) {
    let seconds = order.deadline_ms.div_ceil(1000);
    let limits = ChildLimits {
        cpu_seconds: seconds.saturating_add(1),
        address_space_bytes: 8 << 30,
        file_size_bytes: 64 << 20,
        // The parent is the one that keeps time; this is for a parent that died.
        alarm_seconds: u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(1),
    };
    if let Err(error) = limit_child(limits) {
        // Narrower limits than ours are as good.
        writeln!(io::stderr(), "the probe keeps the limits it has: {error}").unwrap_or_default();
    }
}

fn read_copy() -> Result<Vec<u8>, LoadError> {
    let unreadable = |error: io::Error| {
        LoadError::new(
            LoadErrorCode::ProbeFailed,
            format!("the sealed copy: {error}"),
        )
    };
    std::fs::read(COPY).map_err(unreadable)
}

fn open(inspection: &Inspection) -> Result<Library, LoadError> {
    Library::open(Path::new(COPY)).map_err(|refusal| match missing(inspection) {
        Some(all) if refusal.code() == LoadErrorCode::MissingSymbols => LoadError::new(
            LoadErrorCode::MissingSymbols,
            format!("{all} ({})", refusal.what()),
        ),
        _ => refusal,
    })
}

fn validate(talk: &Talk, contract: &Contract, validation: &Validation) -> Verdict {
    let handler = match choose(&contract.handlers, validation.handler.as_deref()) {
        Ok(handler) => handler,
        Err(message) => return verdict(String::new(), -1, Vec::new(), &message),
    };
    talk.reach(Step::Validating(handler.id.clone()));
    let Some(validate) = handler.table.validate else {
        return Verdict {
            handler: handler.id.clone(),
            status: 0,
            findings: Vec::new(),
        };
    };
    let json = &validation.config_json;
    let json = PpSlice {
        ptr: json.as_ptr().cast(),
        len: json.len(),
    };
    // SAFETY: tagged [pure]; the slice and the report live until the call returns.
    let (status, findings) = collect(|report| unsafe { validate(&raw const json, report) });
    let silent = match status {
        PP_E_PANIC => "validate panicked: the handler has a fault".to_owned(),
        status => format!("validate says {status} and gives no reason"),
    };
    verdict(handler.id.clone(), status, findings, &silent)
}

/// A refusal without a reason gets one.
fn verdict(
    handler: String,
    status: PpStatus,
    mut findings: Vec<Finding>,
    otherwise: &str,
) -> Verdict {
    if status < 0 && !findings.iter().any(|finding| finding.error) {
        let (pointer, message) = (String::new(), otherwise.to_owned());
        findings.push(Finding {
            error: true,
            pointer,
            message,
        });
    }
    Verdict {
        handler,
        status,
        findings,
    }
}

fn choose<'a>(handlers: &'a [Handler], wanted: Option<&str>) -> Result<&'a Handler, String> {
    let offered: Vec<_> = handlers.iter().map(|handler| handler.id.as_str()).collect();
    let offered = offered.join(", ");
    match (wanted, handlers) {
        (None, [only]) => Ok(only),
        (None, _) => Err(format!(
            "the plugin has several handlers: say one of {offered}"
        )),
        (Some(id), _) => handlers
            .iter()
            .find(|handler| handler.id == id)
            .ok_or_else(|| format!("the plugin has no handler \"{id}\", it offers {offered}")),
    }
}

fn summary(handler: Handler) -> HandlerSummary {
    let streams = handler.stream.as_ref();
    HandlerSummary {
        imports_streams: streams.is_some_and(|ops| ops.import_state.is_some()),
        streams_are_stateless: streams.is_some_and(are_stateless),
        serves_streams: handler.stream.is_some(),
        serves_datagrams: handler.socket.is_some(),
        id: handler.id,
        summary: handler.summary,
        schema: handler.schema,
        flags: handler.flags,
        state_version: handler.state_version,
        state_min_version: handler.state_min_version,
        keeps_state: handler.table.save_state.is_some(),
    }
}

/// The socket to the parent, out of the plugin's way.
struct Talk(UnixStream);

impl Talk {
    /// Moves the socket from standard output to a number of its own, and lets what the plugin
    /// prints go to standard error.
    fn take_over() -> io::Result<Self> {
        let socket = io::stdout().as_fd().try_clone_to_owned()?;
        let talk = UnixStream::from(socket);
        talk.peer_addr()?;
        // SAFETY: takes no memory; both numbers are open, and nothing has been written to standard
        // output yet.
        if unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(talk))
    }

    fn order(&self) -> Result<Order, LoadError> {
        let mut text = Vec::new();
        let read = (&self.0)
            .read_to_end(&mut text)
            .map_err(|error| error.to_string());
        let order = read.and_then(|_| serde_json::from_slice(&text).map_err(|e| e.to_string()));
        order.map_err(|why| {
            LoadError::new(
                LoadErrorCode::ProbeFailed,
                format!("the probe's order: {why}"),
            )
        })
    }

    fn reach(&self, step: Step) {
        self.say(&Message::Reached(step));
    }

    /// A parent that is gone needs no answer, and the alarm ends the rest.
    fn say(&self, message: &Message) {
        if let Ok(mut line) = serde_json::to_vec(message) {
            line.push(b'\n');
            (&self.0).write_all(&line).unwrap_or_default();
        }
    }
}

/// Standard input: the sealed copy.
const COPY: &str = "/proc/self/fd/0";
/// As sysexits(3) has it.
const USAGE: u8 = 64;
