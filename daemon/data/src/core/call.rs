//! The scope of the callback that runs: what its host calls may act on, and what they have left to do.
//!
//! What a host call asks for takes effect after the callback (rule R1 of the header): output is gathered and sent in one
//! piece, and what concerns other objects is queued as [`Work`](super::Work). During `import_state` everything is only
//! recorded, and applied once the import has succeeded; a failed import therefore has no effects.

use std::cell::{Cell, RefCell};
use std::io::IoSlice;
use std::time::Duration;

use polyport_host::host_api::{CloseHow, Dial};
use polyport_host::id::{Id, Kind};
use polyport_host::status::HostError;
use polyport_sys::datagrams::{LocalAddress, SendScratch};
use polyport_sys::{PeerAddress, PeerRef};

use crate::object::Sender;

/// Bytes that are gathered before they are sent.
pub(crate) const GATHER_MAX: usize = 64 << 10;
/// Most effects of one import; output is bounded by its bytes.
const EFFECTS_MAX: usize = 2048;

/// See the module's text.
pub(crate) struct CallScope {
    /// The stream whose output is gathered.
    gathering: Cell<Id>,
    gathered: RefCell<Vec<u8>>,
    /// The object that is being imported.
    staged: Cell<Id>,
    effects: RefCell<Vec<Effect>>,
    /// Set while the old instance gets its last `closed(MIGRATED)`. The object already belongs to the new instance: host
    /// calls about it answer GONE.
    detached: Cell<Id>,
    /// The senders of the batch that is being delivered.
    pub(super) peers: RefCell<BatchPeers>,
    pub(super) sending: RefCell<SendScratch>,
    /// Counts settings of plugins' timers.
    settings: Cell<u32>,
}

/// What new code asked for during an import.
#[derive(Debug)]
pub(crate) enum Effect {
    Write(Id, Vec<u8>),
    Fin(Id),
    Reads(Id, bool),
    Watermarks(Id, usize, usize),
    Close(Id, CloseHow, String),
    SetTimer(Id, u32, Duration, Option<Duration>),
    CancelTimer(Id, u32),
    Dial(Id, Dial),
    /// The call was answered that there is no room: `on_writable` is owed.
    OweWritable(Id),
}

impl CallScope {
    pub(super) fn new() -> Self {
        Self {
            gathering: Cell::new(Id::NONE),
            gathered: RefCell::new(Vec::with_capacity(GATHER_MAX)),
            staged: Cell::new(Id::NONE),
            effects: RefCell::default(),
            detached: Cell::new(Id::NONE),
            peers: RefCell::default(),
            sending: RefCell::new(SendScratch::new()),
            settings: Cell::new(0),
        }
    }

    /// Gathers output of this stream from now on; [`Id::NONE`]: of none.
    #[inline]
    pub(crate) fn gather(&self, stream: Id) {
        self.gathering.set(stream);
    }

    #[inline]
    pub(super) fn is_gathering(&self, stream: Id) -> bool {
        self.gathering.get() == stream
    }

    /// Bytes of this stream that were gathered and not sent.
    pub(super) fn gathered_of(&self, stream: Id) -> usize {
        if self.is_gathering(stream) {
            self.gathered.borrow().len()
        } else {
            0
        }
    }

    pub(super) fn gathered(&self) -> &RefCell<Vec<u8>> {
        &self.gathered
    }

    /// Runs an import of an object; its effects are returned instead of applied, and dropped if it fails.
    pub(crate) fn stage<T, E>(
        &self,
        id: Id,
        import: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Vec<Effect>), E> {
        self.staged.set(id);
        let imported = import();
        self.staged.set(Id::NONE);
        let effects = self.effects.take();
        imported.map(|imported| (imported, effects))
    }

    /// Is the object being imported?
    #[inline]
    pub(super) fn is_staged(&self, caller: Id) -> bool {
        caller == self.staged.get()
    }

    /// Runs the last callback of the instance that an object leaves.
    pub(crate) fn detach<T>(&self, id: Id, call: impl FnOnce() -> T) -> T {
        self.detached.set(id);
        let said = call();
        self.detached.set(Id::NONE);
        said
    }

    #[inline]
    pub(super) fn is_detached(&self, caller: Id) -> bool {
        caller == self.detached.get()
    }

    pub(super) fn record(&self, effect: Effect) -> Result<(), HostError> {
        let mut effects = self.effects.borrow_mut();
        if effects.len() >= EFFECTS_MAX {
            return Err(HostError::Full);
        }
        effects.push(effect);
        Ok(())
    }

    /// Records output, and perhaps the end of it: both or none. There is room for one more effect then.
    pub(super) fn record_output(
        &self,
        stream: Id,
        pieces: &[IoSlice<'_>],
        fin: bool,
    ) -> Result<(), HostError> {
        let mut effects = self.effects.borrow_mut();
        if effects.len() + 3 > EFFECTS_MAX {
            return Err(HostError::Full);
        }
        if !matches!(effects.last(), Some(Effect::Write(of, _)) if *of == stream) {
            effects.push(Effect::Write(stream, Vec::new()));
        }
        if let Some(Effect::Write(_, bytes)) = effects.last_mut() {
            pieces
                .iter()
                .for_each(|piece| bytes.extend_from_slice(piece));
        }
        if fin {
            effects.push(Effect::Fin(stream));
        }
        Ok(())
    }

    /// How much output of a stream is recorded.
    ///
    /// # Errors
    /// Closing: its end is recorded too, so no more output follows.
    pub(super) fn recorded_output(&self, stream: Id) -> Result<usize, HostError> {
        let mut waiting = 0;
        for effect in self.effects.borrow().iter() {
            match effect {
                Effect::Write(id, bytes) if *id == stream => waiting += bytes.len(),
                Effect::Fin(id) | Effect::Close(id, ..) if *id == stream => {
                    return Err(HostError::Closing);
                }
                _ => {}
            }
        }
        Ok(waiting)
    }

    /// How many timers of an object are recorded.
    pub(super) fn recorded_timers(&self, owner: Id) -> usize {
        let effects = self.effects.borrow();
        let of_it = |effect: &&Effect| matches!(effect, Effect::SetTimer(id, ..) if *id == owner);
        effects.iter().filter(of_it).count()
    }

    /// The number of the next setting of a plugin's timer.
    pub(super) fn next_setting(&self) -> u32 {
        self.settings.set(self.settings.get().wrapping_add(1));
        self.settings.get()
    }

    /// Begins a batch of datagrams: peer ids of the last one name nobody any more.
    pub(crate) fn begin_batch(&self) {
        let mut peers = self.peers.borrow_mut();
        peers.batch = peers.batch.wrapping_add(1).max(1);
        peers.list.clear();
    }

    /// The peer id of the sender of the next datagrams of the batch; consecutive ones of one sender share it.
    pub(crate) fn name_peer(&self, from: PeerRef<'_>, to: Option<LocalAddress>) -> Id {
        let mut peers = self.peers.borrow_mut();
        let last = peers.list.last();
        if last.is_none_or(|last| (last.0.as_ref(), last.1) != (from, to)) {
            peers.list.push((from.to_owned(), to));
        }
        let place = u32::try_from(peers.list.len() - 1).unwrap_or(u32::MAX);
        Id::new(Kind::Peer, 0, place, peers.batch)
    }

    /// The sender that a peer id of the running batch names.
    pub(crate) fn sender(&self, peer: Id) -> Option<Sender> {
        self.peers.borrow().resolve(peer).cloned()
    }

    /// Ends the batch.
    pub(crate) fn end_batch(&self) {
        self.peers.borrow_mut().list.clear();
    }
}

/// The senders of the batch that is being delivered; peer ids are places in this list.
#[derive(Debug, Default)]
pub(super) struct BatchPeers {
    batch: u32,
    list: Vec<Sender>,
}

impl BatchPeers {
    /// The sender that a peer id names, while its batch is delivered.
    pub(super) fn resolve(&self, peer: Id) -> Option<&Sender> {
        let of_batch = peer.kind() == Some(Kind::Peer) && peer.version() == self.batch;
        of_batch.then(|| self.list.get(peer.index()))?
    }

    /// The name of the sender, for `attribute`.
    pub(super) fn address(&self, peer: Id) -> Option<&PeerAddress> {
        self.resolve(peer).map(|(address, _)| address)
    }
}
