//! The record of a test's host, one for each driver: every id carries the number of its test host, so
//! that concurrent tests are kept apart.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use polyport_abi::{PpId, PpStatus};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The id that the line is about; 0 for the plugin as a whole.
    pub who: u64,
    /// `PP_LOG_*`.
    pub level: u32,
    /// The line.
    pub text: String,
    /// Keys and values.
    pub pairs: Vec<(String, String)>,
}

/// How a handler closed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// `PP_CLOSE_*`.
    pub how: u32,
    /// For the log.
    pub why: String,
}

/// A timer that a handler set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Nanoseconds from now.
    pub after: u64,
    /// Nanoseconds, or 0.
    pub period: u64,
}

/// A datagram that a handler sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentDatagram {
    /// The payload.
    pub data: Vec<u8>,
    /// The peer or flow that it answers.
    pub peer: u64,
}

/// What one test's handler did, and how its host answers.
#[derive(Clone, Debug, Default)]
pub struct TestHost {
    /// Lines of the log.
    pub logged: Vec<LogLine>,
    /// Output, by stream.
    pub written: BTreeMap<PpId, Vec<u8>>,
    /// Streams whose direction the handler has ended.
    pub finished: Vec<PpId>,
    /// The high watermark of every stream; 0: none.
    pub high: usize,
    /// The hard bound of output of every stream; 0: none.
    pub bound: usize,
    /// Calls of `close`, by id.
    pub closed: BTreeMap<PpId, Closed>,
    /// Wake-ups: id and bits.
    pub woken: Vec<(PpId, u64)>,
    /// Ids that have ended: `wake` refuses them.
    pub gone: Vec<PpId>,
    /// Calls of `complete`: operation, code and reason.
    pub completed: Vec<(PpId, PpStatus, String)>,
    /// Datagrams, by call.
    pub sends: Vec<Vec<SentDatagram>>,
    /// Timers, by owner and key.
    pub timers: BTreeMap<(PpId, u32), Timer>,
    /// Cells, by name.
    pub cells: BTreeMap<String, usize>,
    /// Buffers of `reserve`, until `commit`.
    pub(super) reserved: BTreeMap<PpId, Box<[u8]>>,
    ids: u32,
}

impl TestHost {
    /// The value of a metric; 0 if there is none of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        self.cells
            .get(name)
            .map_or(0, |cell| super::table::read_cell(*cell))
    }
}

/// A copy of the record that an id belongs to; for 0, of lines about the plugin as a whole.
#[must_use]
pub fn recorded(id: PpId) -> TestHost {
    with(id, |host| host.clone())
}

static HOSTS: LazyLock<Mutex<BTreeMap<u32, TestHost>>> = LazyLock::new(Mutex::default);

fn hosts() -> MutexGuard<'static, BTreeMap<u32, TestHost>> {
    HOSTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accesses the test host that an id belongs to.
pub(super) fn with<T>(id: PpId, access: impl FnOnce(&mut TestHost) -> T) -> T {
    access(hosts().entry((id >> 32) as u32).or_default())
}

/// Creates a test host; returns its number.
pub(super) fn create() -> u32 {
    let mut hosts = hosts();
    let number = hosts.keys().next_back().map_or(1, |last| last + 1);
    hosts.insert(number, TestHost::default());
    number
}

/// A new id of a test host.
pub(super) fn new_id(number: u32) -> PpId {
    let mut hosts = hosts();
    let host = hosts.entry(number).or_default();
    host.ids += 1;
    u64::from(number) << 32 | u64::from(host.ids)
}
