//! The child's side of a probe: opens the sealed copy, negotiates, calls `init` and `validate`, and sends each step before
//! it begins. It ends by `_exit`, so that no destructor of the plugin runs.

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
use crate::load_error::{ErrorCode, LoadError};
use crate::negotiate::{Contract, negotiate};
use crate::probe::{HandlerSummary, ProbeReport, Validation, Verdict};
use crate::probe_host;
use crate::probe_protocol::{ChildRequest, Message, Step};
use crate::report::{Finding, collect};
use crate::transfer::are_stateless;

/// The `main` of a probe child: the daemon's hidden subcommand calls it first thing.
///
/// Returns only when standard input and output are not those that the parent makes.
#[must_use]
pub fn probe_child() -> ExitCode {
    let Ok(parent) = Parent::take_over() else {
        return ExitCode::from(USAGE);
    };
    let last = match parent.request().and_then(|request| run(&parent, &request)) {
        Ok(report) => Message::Finished(report),
        Err(error) => Message::Refused(error),
    };
    parent.send(&last);
    exit_now(0)
}

fn run(parent: &Parent, request: &ChildRequest) -> Result<ProbeReport, LoadError> {
    limit(request);
    let inspection = inspect(&read_copy()?)?;
    parent.reach(Step::Opening);
    let library = open(&inspection)?;
    parent.reach(Step::Entering);
    let entry = library.enter()?;
    parent.reach(Step::Negotiating);
    // SAFETY: the entry of a plugin returned it.
    let contract = unsafe { negotiate(entry, &inspection.note) }?;
    parent.reach(Step::Init);
    initialise(&contract.table, probe_host::table())?;
    let mut validations = Vec::with_capacity(request.validations.len());
    for validation in &request.validations {
        validations.push(validate(parent, &contract, validation));
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

fn limit(request: &ChildRequest) {
    let seconds = request.deadline_ms.div_ceil(1000);
    let limits = ChildLimits {
        cpu_seconds: seconds.saturating_add(1),
        address_space_bytes: 8 << 30,
        file_size_bytes: 64 << 20,
        // The parent keeps the deadline; the alarm is for one that died.
        alarm_seconds: u32::try_from(seconds).unwrap_or(u32::MAX).saturating_add(1),
    };
    if let Err(error) = limit_child(limits) {
        // The limits are narrower already.
        writeln!(io::stderr(), "the probe keeps the limits it has: {error}").unwrap_or_default();
    }
}

fn read_copy() -> Result<Vec<u8>, LoadError> {
    let unreadable = |error: io::Error| {
        LoadError::new(ErrorCode::ProbeFailed, format!("the sealed copy: {error}"))
    };
    std::fs::read(COPY).map_err(unreadable)
}

fn open(inspection: &Inspection) -> Result<Library, LoadError> {
    Library::open(Path::new(COPY)).map_err(|error| match missing(inspection) {
        Some(all) if error.code() == ErrorCode::MissingSymbols => LoadError::new(
            ErrorCode::MissingSymbols,
            format!("{all} ({})", error.what()),
        ),
        _ => error,
    })
}

fn validate(parent: &Parent, contract: &Contract, validation: &Validation) -> Verdict {
    let handler = match choose(&contract.handlers, validation.handler.as_deref()) {
        Ok(handler) => handler,
        Err(message) => return verdict(String::new(), -1, Vec::new(), &message),
    };
    parent.reach(Step::Validating(handler.id.clone()));
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
    let otherwise = match status {
        PP_E_PANIC => "validate panicked: the handler has a fault".to_owned(),
        status => format!("validate says {status} and gives no reason"),
    };
    verdict(handler.id.clone(), status, findings, &otherwise)
}

/// A verdict; `otherwise` is the reason of an error for which the plugin reported none.
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

/// The socket to the parent, at a number that no plugin expects.
struct Parent(UnixStream);

impl Parent {
    /// Moves the socket away from standard output, and makes standard output the same as standard error.
    fn take_over() -> io::Result<Self> {
        let socket = io::stdout().as_fd().try_clone_to_owned()?;
        let parent = UnixStream::from(socket);
        parent.peer_addr()?;
        // SAFETY: takes no memory; both numbers are open, and nothing has been written to standard
        // output yet.
        if unsafe { libc::dup2(libc::STDERR_FILENO, libc::STDOUT_FILENO) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self(parent))
    }

    fn request(&self) -> Result<ChildRequest, LoadError> {
        let mut text = Vec::new();
        let read = (&self.0)
            .read_to_end(&mut text)
            .map_err(|error| error.to_string());
        let request = read.and_then(|_| serde_json::from_slice(&text).map_err(|e| e.to_string()));
        request.map_err(|why| {
            LoadError::new(ErrorCode::ProbeFailed, format!("the probe's order: {why}"))
        })
    }

    fn reach(&self, step: Step) {
        self.send(&Message::Reached(step));
    }

    /// Errors are ignored: a parent that is gone needs no message, and the alarm ends this process.
    fn send(&self, message: &Message) {
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
