//! What the host of a test remembers, by test: each id carries the number of the desk that gave it
//! out, so tests that run at once do not see each other.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use polyport_abi::{PpId, PpStatus};

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Which id it is about; 0 for the plugin as a whole.
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

/// All that one test's handler did.
#[derive(Clone, Debug, Default)]
pub struct Desk {
    /// Lines of the log.
    pub logged: Vec<LogLine>,
    /// Output, by stream.
    pub written: BTreeMap<PpId, Vec<u8>>,
    /// Streams whose direction the handler has ended.
    pub finished: Vec<PpId>,
    /// Bytes of output at which a stream counts as above high; 0: never.
    pub high: usize,
    /// Bytes of output beyond which nothing is taken; 0: no bound.
    pub bound: usize,
    /// What was closed, and how.
    pub closed: BTreeMap<PpId, Closed>,
    /// Wake-ups: id and bits.
    pub woken: Vec<(PpId, u64)>,
    /// Ids that have ended: waking them is refused.
    pub gone: Vec<PpId>,
    /// Hooks that ended later: id, code and reason.
    pub completed: Vec<(PpId, PpStatus, String)>,
    /// Datagrams, by call.
    pub sends: Vec<Vec<SentDatagram>>,
    /// Timers, by owner and key.
    pub timers: BTreeMap<(PpId, u32), Timer>,
    /// Cells, by name.
    pub cells: BTreeMap<String, usize>,
    /// Room given out by `reserve`, until `commit`.
    pub(super) reserved: BTreeMap<PpId, Box<[u8]>>,
    ids: u32,
}

impl Desk {
    /// The value of a metric; 0 if there is none of that name.
    #[must_use]
    pub fn metric(&self, name: &str) -> u64 {
        self.cells
            .get(name)
            .map_or(0, |cell| super::table::read_cell(*cell))
    }
}

/// A copy of what was noted for the desk of an id; of 0: for the plugin as a whole.
#[must_use]
pub fn desk(id: PpId) -> Desk {
    with(id, |desk| desk.clone())
}

type Desks = BTreeMap<u32, Desk>;
static DESKS: LazyLock<Mutex<Desks>> = LazyLock::new(Mutex::default);

pub(super) fn desks() -> MutexGuard<'static, Desks> {
    DESKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The desk that an id belongs to.
pub(super) fn with<T>(id: PpId, act: impl FnOnce(&mut Desk) -> T) -> T {
    act(desks().entry(number(id)).or_default())
}

/// A new desk.
pub(super) fn open() -> u32 {
    let mut desks = desks();
    let number = desks.keys().next_back().map_or(1, |last| last + 1);
    desks.insert(number, Desk::default());
    number
}

/// A new id of a desk.
pub(super) fn id(desk: u32) -> PpId {
    let mut desks = desks();
    let desk_entry = desks.entry(desk).or_default();
    desk_entry.ids += 1;
    u64::from(desk) << 32 | u64::from(desk_entry.ids)
}

pub(super) const fn number(id: PpId) -> u32 {
    (id >> 32) as u32
}
