//! The ids of one worker: which are alive, whose they are, and with which bits they were woken.
//!
//! The worker makes and ends ids by its [`IdAllocator`], without a lock. Any thread wakes them by the [`WakeTable`],
//! without a lock as well. Memory is bounded by the number of slots, however often a plugin wakes.
//!
//! A slot gets another id only while no thread is inside [`wake`](WakeTable::wake) for it (`Entry::wakers`), so bits
//! for one id can never reach the next.

use std::cell::RefCell;

use crate::id::{Id, Kind, SLOTS_MAX};
use crate::status::HostError;
use crate::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, OnceLock, Ordering};

/// What any thread may do with the ids of one worker.
pub struct WakeTable {
    worker: u8,
    /// Slots come in chunks, each made when its first slot is needed: entries never move.
    chunks: Box<[OnceLock<Box<[Entry]>>]>,
    /// The slot that was woken last; it begins a list by `Entry::next`. `NO_SLOT` when the list is empty.
    woken: AtomicU32,
    /// Wakes the worker; called when the list stops being empty, so at most once for each `take_woken`. The bits may
    /// have been taken before.
    notify: Box<dyn Fn() + Send + Sync>,
}

struct Entry {
    /// The id that has the slot now; 0 for none. Written by the worker only.
    id: AtomicU64,
    /// The number of the id's instance. Written by the worker only.
    instance: AtomicU32,
    /// How many threads are inside `wake` for the slot.
    wakers: AtomicU32,
    /// The bits that `wake` has gathered.
    bits: AtomicU64,
    /// The slot is in the list of woken ones.
    is_listed: AtomicBool,
    /// The next slot of that list.
    next: AtomicU32,
}

const NO_SLOT: u32 = u32::MAX;
const CHUNK_LEN: u32 = 1024;

impl WakeTable {
    /// A table without ids.
    #[must_use]
    pub fn new(worker: u8, notify: Box<dyn Fn() + Send + Sync>) -> Self {
        let chunks = (0..SLOTS_MAX.div_ceil(CHUNK_LEN)).map(|_| OnceLock::new());
        Self {
            worker,
            chunks: chunks.collect(),
            woken: AtomicU32::new(NO_SLOT),
            notify,
        }
    }

    /// Marks an id as woken.
    ///
    /// # Errors
    /// [`HostError::Gone`] when it is stale, [`HostError::Invalid`] when no bit is set.
    pub fn wake(&self, id: Id, bits: u64) -> Result<(), HostError> {
        if bits == 0 {
            return Err(HostError::Invalid);
        }
        let entry = self.entry(id.slot()).ok_or(HostError::Gone)?;
        // Counted before the comparison. The worker counts after it has ended an id, see `IdAllocator::take_free`: either
        // its count comes first, and this thread sees that the id has ended, or it sees this thread.
        entry.wakers.fetch_add(1, Ordering::AcqRel);
        let is_alive = entry.id.load(Ordering::Acquire) == id.raw();
        let is_first = is_alive && self.list(entry, id.slot(), bits);
        entry.wakers.fetch_sub(1, Ordering::Release);
        if is_first {
            (self.notify)();
        }
        if is_alive {
            Ok(())
        } else {
            Err(HostError::Gone)
        }
    }

    /// Adds bits to a slot and puts it into the list. Returns whether the list was empty.
    fn list(&self, entry: &Entry, slot: u32, bits: u64) -> bool {
        entry.bits.fetch_or(bits, Ordering::Relaxed);
        // When it is listed already, this exchange comes before the one in `take_woken`, which then sees the bits.
        if entry.is_listed.swap(true, Ordering::AcqRel) {
            return false;
        }
        let mut first = self.woken.load(Ordering::Relaxed);
        loop {
            entry.next.store(first, Ordering::Relaxed);
            let (released, relaxed) = (Ordering::Release, Ordering::Relaxed);
            match self
                .woken
                .compare_exchange_weak(first, slot, released, relaxed)
            {
                Ok(_) => return first == NO_SLOT,
                Err(now) => first = now,
            }
        }
    }

    /// The number of the instance that an id belongs to, if the id is alive.
    #[must_use]
    pub fn instance_of(&self, id: Id) -> Option<u32> {
        let entry = self.entry(id.slot())?;
        let is_alive = || entry.id.load(Ordering::Acquire) == id.raw();
        let instance = is_alive().then(|| entry.instance.load(Ordering::Acquire));
        // Compared again, because the slot may have changed hands in between.
        instance.filter(|_| is_alive())
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        let chunk = self.chunks.get((slot / CHUNK_LEN) as usize)?;
        chunk.get()?.get((slot % CHUNK_LEN) as usize)
    }

    /// The entry of a slot below [`SLOTS_MAX`], made if need be.
    fn make_entry(&self, slot: u32) -> Option<&Entry> {
        let chunk = self.chunks.get((slot / CHUNK_LEN) as usize)?;
        let make = || (0..CHUNK_LEN).map(|_| Entry::unused()).collect();
        chunk.get_or_init(make).get((slot % CHUNK_LEN) as usize)
    }
}

impl Entry {
    fn unused() -> Self {
        Self {
            id: AtomicU64::new(0),
            instance: AtomicU32::new(0),
            wakers: AtomicU32::new(0),
            bits: AtomicU64::new(0),
            is_listed: AtomicBool::new(false),
            next: AtomicU32::new(NO_SLOT),
        }
    }
}

/// The worker's own half of its [`WakeTable`]: makes and ends its ids. A table has one.
#[derive(Debug)]
pub struct IdAllocator {
    table: Arc<WakeTable>,
    /// By number; slots that were never used are not in it.
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Version of the present or the last id.
    version: u32,
    /// The slot is not in the list of free ones.
    is_taken: bool,
}

impl IdAllocator {
    /// For the worker of this table.
    #[must_use]
    pub fn new(table: Arc<WakeTable>) -> Self {
        Self {
            table,
            slots: RefCell::default(),
            free: RefCell::default(),
        }
    }

    /// Makes an id for a stream, socket or flow of an instance.
    ///
    /// # Errors
    /// [`HostError::Full`] when all [`SLOTS_MAX`] slots are in use.
    pub fn add(&self, kind: Kind, instance: u32) -> Result<Id, HostError> {
        let mut slots = self.slots.borrow_mut();
        let number = match self.take_free() {
            Some(number) => number,
            None => {
                let next = u32::try_from(slots.len()).ok();
                let next = next.filter(|next| *next < SLOTS_MAX);
                let next = next.ok_or(HostError::Full)?;
                slots.push(Slot {
                    version: 0,
                    is_taken: false,
                });
                next
            }
        };
        let entry = self.table.make_entry(number).ok_or(HostError::Full)?;
        let slot = slots.get_mut(number as usize).ok_or(HostError::Full)?;
        slot.version = slot.version.wrapping_add(1).max(1);
        slot.is_taken = true;
        let id = Id::new(kind, self.table.worker, number, slot.version);
        // What a thread left there for the id before.
        entry.bits.store(0, Ordering::Relaxed);
        entry.instance.store(instance, Ordering::Release);
        entry.id.store(id.raw(), Ordering::Release);
        Ok(id)
    }

    /// A free slot that no thread is just waking, the one that was used last if possible.
    fn take_free(&self) -> Option<u32> {
        let mut free = self.free.borrow_mut();
        let is_idle = |slot: &u32| {
            let entry = self.table.entry(*slot);
            // An exchange and no load: it comes before or after the one in `wake`, and sees or is seen.
            entry.is_some_and(|entry| entry.wakers.fetch_add(0, Ordering::AcqRel) == 0)
        };
        let place = free.iter().rposition(is_idle)?;
        Some(free.swap_remove(place))
    }

    /// The entry of an id, if the id is alive.
    fn alive(&self, id: Id) -> Option<&Entry> {
        let entry = self.table.entry(id.slot())?;
        (entry.id.load(Ordering::Relaxed) == id.raw()).then_some(entry)
    }

    /// Makes an id stale; its slot is kept until it is removed.
    pub fn end(&self, id: Id) {
        if let Some(entry) = self.alive(id) {
            entry.id.store(0, Ordering::Release);
        }
    }

    /// Makes an id stale and its slot free.
    pub fn remove(&self, id: Id) {
        self.end(id);
        if let Some(slot) = self.slots.borrow_mut().get_mut(id.index())
            && slot.version == id.version()
            && std::mem::take(&mut slot.is_taken)
        {
            self.free.borrow_mut().push(id.slot());
        }
    }

    /// Makes a living id another instance's. The id and the bits that it was woken with stay.
    pub fn reassign(&self, id: Id, instance: u32) {
        if let Some(entry) = self.alive(id) {
            entry.instance.store(instance, Ordering::Release);
        }
    }

    /// Moves all that was woken into `into`, which is emptied first, in the order of the first wakes. Ids that have
    /// ended meanwhile are left out.
    pub fn take_woken(&self, into: &mut Vec<(Id, u64)>) {
        into.clear();
        let mut slot = self.table.woken.swap(NO_SLOT, Ordering::Acquire);
        while let Some(entry) = self.table.entry(slot) {
            // From the exchange on, another thread may list the slot again, and write `next`.
            slot = entry.next.load(Ordering::Relaxed);
            entry.is_listed.swap(false, Ordering::AcqRel);
            let bits = entry.bits.swap(0, Ordering::Relaxed);
            let id = Id::from_raw(entry.id.load(Ordering::Relaxed));
            if id != Id::NONE && bits != 0 {
                into.push((id, bits));
            }
        }
        into.reverse();
    }
}

impl std::fmt::Debug for WakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WakeTable")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
