//! A generation: one loaded copy of a plugin's code, with its tables checked and copied. A changed file gives another
//! generation beside the earlier. A retired one stays mapped.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use polyport_abi::{
    PP_E_PANIC, PpFlowOps, PpHandler, PpHost, PpPlugin, PpSocketOps, PpStatus, PpStreamOps,
};
use polyport_sys::SealedFile;

use crate::bounded_call::{Progress, Unfinished, may_load, run_bounded};
use crate::digest::Digest;
use crate::library::Library;
use crate::load_error::{ErrorCode, LoadError};
use crate::negotiate::{Contract, negotiate};
use crate::probe_exit::{overran, vanished};
use crate::probe_protocol::Step;
use crate::stage::Staged;
use crate::tables::empty;

pub use crate::bounded_call::left_behind;

/// A kind of protocol that a plugin offers. The tables are the host's copies.
#[derive(Debug, Clone)]
pub struct Handler {
    /// The name used in the configuration.
    pub id: String,
    /// A line for people; may be empty.
    pub summary: String,
    /// JSON Schema of its configuration.
    pub schema: Option<String>,
    /// `PP_HF_*`.
    pub flags: u32,
    /// Version of the state that it writes.
    pub state_version: u32,
    /// Oldest version of state that it reads.
    pub state_min_version: u32,
    /// Its hooks. The pointers in it are still the plugin's: use the copies beside it.
    pub table: PpHandler,
    /// Callbacks for streams, if it serves any.
    pub stream: Option<PpStreamOps>,
    /// Callbacks for datagram sockets, if it serves any.
    pub socket: Option<PpSocketOps>,
    /// Callbacks for flows, if it has any.
    pub flow: Option<PpFlowOps>,
}

/// A plugin's code in this process.
pub struct Generation {
    /// Number of the load, counted over all plugins.
    pub number: u64,
    /// Path of the file when it was staged.
    pub path: PathBuf,
    /// The plugin's short name.
    pub name: String,
    /// Identity of the bytes.
    pub digest: Digest,
    /// The plugin's id in reverse domain form.
    pub id: String,
    /// The plugin's version.
    pub version: String,
    /// As SPDX.
    pub license: Option<String>,
    /// Bytes of address space that it takes until the process ends.
    pub mapped_size: u64,
    /// At least one; their ids are unique.
    pub handlers: Vec<Handler>,
    table: PpPlugin,
    /// Instances that are not dropped yet: a hook or callback of theirs may still run.
    instances: AtomicUsize,
    retired: AtomicBool,
    /// Never closed: the dynamic linker would take another file of the same number for this one. `None` for
    /// [`from_handlers`](Self::from_handlers).
    _file: Option<ManuallyDrop<SealedFile>>,
}

// SAFETY: the raw pointers in the tables point to constant data of code that is never unmapped, and this crate reads
// nothing through them. The function pointers are called in the contexts that the header's tags allow. All other members
// are `Send` by themselves.
unsafe impl Send for Generation {}
// SAFETY: nothing changes after `load` except `retired` and `instances`, which are atomic.
unsafe impl Sync for Generation {}
// SAFETY: a handler is plain data, and its pointers are as in `Generation`.
unsafe impl Send for Handler {}
// SAFETY: nothing in it can change through a shared reference.
unsafe impl Sync for Handler {}

/// Loads a staged (and probed) plugin into this process and calls its `init` with `host`.
///
/// Blocks for up to ten seconds. If constructors, entry or `init` have not returned by then, the thread that runs them is
/// left behind and the load fails.
///
/// # Errors
/// A [`LoadError`] that names the file. Memory that was mapped stays mapped. While three threads are left behind, or one
/// is in a constructor, every load fails.
pub fn load(
    staged: Staged,
    number: u64,
    host: &'static PpHost,
) -> Result<Arc<Generation>, LoadError> {
    let (path, name) = (staged.path.clone(), staged.name.clone());
    load_in_time(staged, &name, number, HostTable(host)).map_err(|error| error.of(path))
}

fn load_in_time(
    staged: Staged,
    name: &str,
    number: u64,
    host: HostTable,
) -> Result<Arc<Generation>, LoadError> {
    may_load()?;
    let progress = Progress::at(Step::Opening);
    let of_thread = progress.clone();
    let call = move || load_here(staged, number, host, &of_thread);
    run_bounded(name, &progress, LOAD_TIMEOUT, call).unwrap_or_else(|unfinished| {
        let step = progress.step();
        Err(match unfinished {
            Unfinished::Overran => overran(&step, LOAD_TIMEOUT),
            Unfinished::Vanished => vanished(&step),
            Unfinished::NoThread(why) => LoadError::new(ErrorCode::OpenFailed, why),
        })
    })
}

/// Runs on a thread of its own, which is left behind if a call into the plugin does not return.
fn load_here(
    staged: Staged,
    number: u64,
    host: HostTable,
    progress: &Progress,
) -> Result<Arc<Generation>, LoadError> {
    let Staged {
        path,
        name,
        digest,
        inspection,
        file,
    } = staged;
    // The plugin's code may run from here on, so the name under which it is opened must stay taken.
    let file = ManuallyDrop::new(file);
    let library = match Library::open(&file.path()) {
        Ok(library) => library,
        Err(error) => {
            // The dynamic linker does not know the name: it is free.
            drop(ManuallyDrop::into_inner(file));
            return Err(error);
        }
    };
    progress.reach(Step::Entering);
    let entry = library.enter()?;
    progress.reach(Step::Negotiating);
    // SAFETY: the entry of a plugin returned it.
    let contract = unsafe { negotiate(entry, &inspection.note) }?;
    progress.reach(Step::Init);
    initialise(&contract.table, host.0)?;
    let Contract {
        id,
        version,
        license,
        table,
        handlers,
    } = contract;
    Ok(Arc::new(Generation {
        number,
        path,
        name,
        digest,
        id,
        version,
        license,
        mapped_size: inspection.mapped_size,
        handlers,
        table,
        instances: AtomicUsize::new(0),
        retired: AtomicBool::new(false),
        _file: Some(file),
    }))
}

impl Handler {
    /// Does it serve streams?
    #[must_use]
    pub fn serves_streams(&self) -> bool {
        self.stream.is_some()
    }

    /// Does it have no `on_data`?
    #[must_use]
    pub fn ignores_data(&self) -> bool {
        self.stream.is_some_and(|ops| ops.on_data.is_none())
    }

    /// Has it `on_drain` for streams?
    #[must_use]
    pub fn drains_streams(&self) -> bool {
        self.stream.is_some_and(|ops| ops.on_drain.is_some())
    }

    /// Does it serve datagrams?
    #[must_use]
    pub fn serves_datagrams(&self) -> bool {
        self.socket.as_ref().is_some() || self.flow.as_ref().is_some()
    }

    /// The idle timeout of flows (nanoseconds, 0 for the service's) and their greatest number, if the handler has flows.
    #[must_use]
    pub fn flows(&self) -> Option<(u64, u32)> {
        self.flow
            .as_ref()
            .map(|ops| (ops.idle_timeout, ops.flows_max))
    }

    /// Does it take truncated datagrams?
    #[must_use]
    pub fn wants_truncated(&self) -> bool {
        self.socket
            .as_ref()
            .is_some_and(|ops| ops.flags & polyport_abi::PP_SF_WANT_TRUNCATED != 0)
    }

    /// Has it `on_drain` for sockets, and for flows?
    #[must_use]
    pub fn drains_datagrams(&self) -> (bool, bool) {
        let sockets = self
            .socket
            .as_ref()
            .is_some_and(|ops| ops.on_drain.is_some());
        (
            sockets,
            self.flow.as_ref().is_some_and(|ops| ops.on_drain.is_some()),
        )
    }

    /// A handler of tables in this executable, for tests and simulations; `table` may get hooks and flags afterwards.
    #[must_use]
    pub fn from_tables(
        id: &str,
        stream: Option<&'static PpStreamOps>,
        socket: Option<&'static PpSocketOps>,
        flow: Option<&'static PpFlowOps>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            summary: String::new(),
            schema: None,
            flags: 0,
            state_version: 0,
            state_min_version: 0,
            table: empty(),
            stream: stream.copied(),
            socket: socket.copied(),
            flow: flow.copied(),
        }
    }
}

impl Generation {
    /// A generation of handlers in this executable, without a file, for tests and simulations. Their functions are
    /// called as the header says; `init` and `fini` are none.
    #[must_use]
    pub fn from_handlers(name: &str, number: u64, handlers: Vec<Handler>) -> Arc<Self> {
        Arc::new(Self {
            number,
            path: PathBuf::new(),
            name: name.to_owned(),
            digest: Digest::of_pieces(&[name.as_bytes()]),
            id: name.to_owned(),
            version: String::new(),
            license: None,
            mapped_size: 0,
            handlers,
            table: empty(),
            instances: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            _file: None,
        })
    }

    /// The handler of this name.
    #[must_use]
    pub fn handler(&self, id: &str) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.id == id)
    }

    /// Is there an instance of it that a hook or a stream still uses?
    #[must_use]
    pub fn has_instances(&self) -> bool {
        self.instances() != 0
    }

    /// How many instances of it are not dropped.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.instances.load(Ordering::Acquire)
    }

    pub(crate) fn instance_made(&self) {
        self.instances.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn instance_dropped(&self) {
        self.instances.fetch_sub(1, Ordering::AcqRel);
    }

    /// Calls `fini`, once: after the last instance of this generation was destroyed. Blocks for up
    /// to ten seconds. The code stays mapped.
    ///
    /// # Errors
    /// `fini-failed` or `fini-overran`; the caller can only log it.
    pub fn retire(&self) -> Result<(), LoadError> {
        let again = self.retired.swap(true, Ordering::AcqRel);
        let Some(fini) = self.table.fini.filter(|_| !again) else {
            return Ok(());
        };
        // SAFETY: the header asks for one call, after all others. The caller makes this the last, and `retired` makes it
        // the only one.
        let call = move || unsafe { fini() };
        let progress = Progress::at(Step::Init);
        let error = match run_bounded(&self.name, &progress, FINI_TIMEOUT, call) {
            Ok(0..) => return Ok(()),
            Ok(status) => LoadError::new(ErrorCode::FiniFailed, format!("fini returned {status}")),
            Err(Unfinished::Overran) => {
                LoadError::new(ErrorCode::FiniOverran, "fini has not returned")
            }
            Err(Unfinished::Vanished) => {
                LoadError::new(ErrorCode::FiniFailed, "fini ended its thread")
            }
            Err(Unfinished::NoThread(why)) => LoadError::new(ErrorCode::FiniFailed, why),
        };
        Err(error.of(&self.path))
    }

    /// Has [`retire`](Self::retire) been called? Until then it may get further instances.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// The plugin's own optional table of this id, or null.
    #[must_use]
    pub fn extension(&self, id: &std::ffi::CStr) -> *const std::ffi::c_void {
        match self.table.get_extension {
            // SAFETY: tagged [any] in the header; the id is borrowed until the call returns.
            Some(get_extension) => unsafe { get_extension(id.as_ptr()) },
            None => ptr::null(),
        }
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Generation({} {} {})",
            self.number,
            self.name,
            self.digest.short()
        )
    }
}

/// Calls `init`, if the plugin has one.
pub(crate) fn initialise(table: &PpPlugin, host: &'static PpHost) -> Result<(), LoadError> {
    let Some(init) = table.init else {
        return Ok(());
    };
    // SAFETY: the first call after the entry, once, with a table that lives as long as the process,
    // as the header asks.
    judge_init(unsafe { init(host) })
}

fn judge_init(status: PpStatus) -> Result<(), LoadError> {
    match status {
        0.. => Ok(()),
        PP_E_PANIC => Err(LoadError::new(ErrorCode::InitPanicked, "init panicked")),
        status => Err(LoadError::new(
            ErrorCode::InitFailed,
            format!("init returned {status}"),
        )),
    }
}

/// The host's table as an argument for another thread.
#[derive(Debug, Clone, Copy)]
struct HostTable(&'static PpHost);

// SAFETY: the table and all that it points to live as long as the process and are never written by plugins. Its functions
// may be called from any thread: they are tagged [any], or refuse the call (R5).
unsafe impl Send for HostTable {}

const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
const FINI_TIMEOUT: Duration = Duration::from_secs(10);
