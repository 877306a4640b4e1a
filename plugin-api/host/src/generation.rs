//! A generation: one loaded copy of a plugin's code, with its tables checked and copied. A changed
//! file gives a new one beside the old; a retired one stays mapped.

use std::fmt;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use polyport_abi::{
    PP_E_PANIC, PpFlowOps, PpHandler, PpHost, PpPlugin, PpSocketOps, PpStatus, PpStreamOps,
};
use polyport_sys::SealedFile;

use crate::digest::Digest;
use crate::library::Library;
use crate::negotiate::{Contract, negotiate};
use crate::refusal::{Code, Refusal};
use crate::stage::Staged;

/// A kind of protocol that a plugin offers. The tables are our own copies.
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
    /// What it does with streams, if it serves any.
    pub stream: Option<PpStreamOps>,
    /// What it does with datagram sockets, if it serves any.
    pub socket: Option<PpSocketOps>,
    /// What it does with flows, if it has any.
    pub flow: Option<PpFlowOps>,
}

/// A plugin's code in this process.
pub struct Generation {
    /// Counts up over all plugins; never used twice.
    pub number: u64,
    /// Where the file was.
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
    /// Bytes of address space that it takes for good.
    pub mapped_size: u64,
    /// What it offers; at least one, ids unique.
    pub handlers: Vec<Handler>,
    table: PpPlugin,
    retired: AtomicBool,
    /// Never closed: the dynamic linker would take another file of the same number for this one.
    _file: ManuallyDrop<SealedFile>,
}

// SAFETY: the raw pointers of the tables lead to constant data of code that is never unmapped, and
// nothing of this crate reads through them; the function pointers are called as the header's tags
// allow. All else is `Send` by itself.
unsafe impl Send for Generation {}
// SAFETY: nothing changes after `load` except `retired`, which is atomic.
unsafe impl Sync for Generation {}
// SAFETY: a handler is plain data; its pointers are as those of `Generation`.
unsafe impl Send for Handler {}
// SAFETY: nothing in it can change through a shared reference.
unsafe impl Sync for Handler {}

/// Loads what was staged (and probed) into this process and calls `init` with `host`.
///
/// Blocks for as long as constructors run, and for up to ten seconds in `init`; then the thread that
/// runs it is left behind and the generation is refused.
///
/// # Errors
/// A [`Refusal`] that names the file. What was mapped stays mapped.
pub fn load(
    staged: Staged,
    number: u64,
    host: &'static PpHost,
) -> Result<Arc<Generation>, Refusal> {
    let path = staged.path.clone();
    load_unnamed(staged, number, host).map_err(|refusal| refusal.of(path))
}

fn load_unnamed(
    staged: Staged,
    number: u64,
    host: &'static PpHost,
) -> Result<Arc<Generation>, Refusal> {
    let Staged {
        path,
        name,
        digest,
        inspection,
        file,
    } = staged;
    let library = Library::open(&file.path())?;
    // From here on its code may run, so the name under which it was opened is taken for good.
    let file = ManuallyDrop::new(file);
    let contract = negotiate(library.enter()?, &inspection.note)?;
    initialise(&contract.table, HostTable(host), &format!("init {name}"))?;
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
        retired: AtomicBool::new(false),
        _file: file,
    }))
}

impl Generation {
    /// The handler of this name.
    #[must_use]
    pub fn handler(&self, id: &str) -> Option<&Handler> {
        self.handlers.iter().find(|handler| handler.id == id)
    }

    /// Calls `fini`, once: after the last instance of this generation was destroyed. Blocks for up
    /// to ten seconds. The code stays mapped.
    ///
    /// # Errors
    /// `fini-failed` or `fini-overran`, to be logged: there is nothing else to do about it.
    pub fn retire(&self) -> Result<(), Refusal> {
        let Some(fini) = self
            .table
            .fini
            .filter(|_| !self.retired.swap(true, Ordering::AcqRel))
        else {
            return Ok(());
        };
        // SAFETY: the header asks for one call after all else; the caller says that this is it, and
        // `retired` that it is the only one.
        let status = timed(&format!("fini {}", self.name), move || unsafe { fini() });
        let refusal = match status {
            Ok(0..) => return Ok(()),
            Ok(status) => Refusal::new(Code::FiniFailed, format!("fini returned {status}")),
            Err(Late::Overran) => Refusal::new(Code::FiniOverran, "fini has not returned"),
            Err(Late::NoThread(why)) => Refusal::new(Code::FiniFailed, why),
        };
        Err(refusal.of(&self.path))
    }

    /// The plugin's own optional table of this id, or null.
    #[must_use]
    pub fn extension(&self, id: &std::ffi::CStr) -> *const std::ffi::c_void {
        match self.table.get_extension {
            // SAFETY: tagged [any] in the header; the id is borrowed until the call returns.
            Some(get_extension) => unsafe { get_extension(id.as_ptr()) },
            None => std::ptr::null(),
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

/// Calls `init` with a deadline; no `init` is a good one.
pub(crate) fn initialise(table: &PpPlugin, host: HostTable, name: &str) -> Result<(), Refusal> {
    let Some(init) = table.init else {
        return Ok(());
    };
    let status = timed(name, move || {
        let host = host;
        // SAFETY: the first call after the entry, once, with a table that lives as long as the
        // process, as the header asks.
        unsafe { init(host.0) }
    });
    match status {
        Ok(status) => judge_init(status),
        Err(Late::Overran) => {
            let what = format!("init has not returned after {} s", HOOK_TIMEOUT.as_secs());
            Err(Refusal::new(Code::InitOverran, what))
        }
        Err(Late::NoThread(why)) => Err(Refusal::new(Code::InitFailed, why)),
    }
}

pub(crate) fn judge_init(status: PpStatus) -> Result<(), Refusal> {
    match status {
        0.. => Ok(()),
        PP_E_PANIC => Err(Refusal::new(Code::InitPanicked, "init panicked")),
        status => Err(Refusal::new(
            Code::InitFailed,
            format!("init returned {status}"),
        )),
    }
}

/// The host's table on its way to another thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HostTable(pub(crate) &'static PpHost);

// SAFETY: the table and all it points to live as long as the process and are read-only to plugins,
// and its functions may be called from any thread ([any]) or say no (R5).
unsafe impl Send for HostTable {}

enum Late {
    /// It still runs; its thread is left behind.
    Overran,
    /// It never ran.
    NoThread(String),
}

/// Runs a call into a plugin on a thread of its own that may be left behind.
fn timed(name: &str, call: impl FnOnce() -> PpStatus + Send + 'static) -> Result<PpStatus, Late> {
    let (done, wait) = sync_channel(1);
    let run = move || {
        let status = call();
        // Nobody waits any more when it was late.
        done.send(status).unwrap_or_default();
    };
    // The kernel cuts names at 15 bytes; std refuses only zero bytes, which no file name has.
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    let thread = thread.map_err(|error| Late::NoThread(format!("no thread for it: {error}")))?;
    match wait.recv_timeout(HOOK_TIMEOUT) {
        Ok(status) => {
            // It is past the plugin's code, except for destructors of thread-local data.
            drop(thread);
            Ok(status)
        }
        Err(RecvTimeoutError::Timeout) => Err(Late::Overran),
        Err(RecvTimeoutError::Disconnected) => Ok(PP_E_PANIC),
    }
}

const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
