//! The directory: which ids of a worker are alive, whose they are, and which have been woken.
//!
//! Each worker has one. The worker itself adds and removes entries; any thread may wake one. Memory is bounded by
//! the number of slots, however often a plugin wakes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::id::{Id, Kind, SLOTS_MAX};
use crate::status::HostError;

/// One worker's directory.
pub struct WakeTable {
    worker: u8,
    table: Mutex<Table>,
    /// Tells the worker that something was woken; called without the lock, at most once for each `take_woken`.
    notify: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct Table {
    entries: Vec<Entry>,
    free: Vec<u32>,
    woken: Vec<Id>,
}

#[derive(Default, Clone, Copy)]
struct Entry {
    /// Version of the present or the last use.
    version: u32,
    /// Index of the instance, or `u32::MAX` when the slot is free.
    instance: u32,
    /// What `wake` has gathered.
    bits: u64,
    /// Not in the list of free slots.
    taken: bool,
}

const FREE: u32 = u32::MAX;

impl WakeTable {
    /// An empty directory.
    #[must_use]
    pub fn new(worker: u8, notify: Box<dyn Fn() + Send + Sync>) -> Self {
        Self {
            worker,
            table: Mutex::default(),
            notify,
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The lock is held for a few instructions that cannot panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot for something of an instance.
    ///
    /// # Errors
    /// [`HostError::Full`] when all [`SLOTS_MAX`] slots are in use.
    pub fn add(&self, kind: Kind, instance: u32) -> Result<Id, HostError> {
        let mut table = self.table();
        let slot = match table.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(table.entries.len()).map_err(|_| HostError::Full)?;
                if slot >= SLOTS_MAX {
                    return Err(HostError::Full);
                }
                table.entries.push(Entry::default());
                slot
            }
        };
        let Some(entry) = table.entries.get_mut(slot as usize) else {
            return Err(HostError::Full);
        };
        entry.version = entry.version.wrapping_add(1).max(1);
        entry.instance = instance;
        entry.bits = 0;
        entry.taken = true;
        Ok(Id::new(kind, self.worker, slot, entry.version))
    }

    /// The id is stale from now on; its slot is kept until it is removed.
    pub fn end(&self, id: Id) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(id.index())
            && entry.version == id.version()
        {
            entry.instance = FREE;
            entry.bits = 0;
        }
    }

    /// Gives a slot back; the id is stale from now on.
    pub fn remove(&self, id: Id) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(id.index())
            && entry.version == id.version()
            && entry.taken
        {
            entry.instance = FREE;
            entry.bits = 0;
            entry.taken = false;
            table.free.push(id.slot());
        }
    }

    /// Makes a living id another instance's: it stays the same, with the bits that wait.
    pub fn reassign(&self, id: Id, instance: u32) {
        let mut table = self.table();
        if let Some(entry) = table.entries.get_mut(id.index())
            && entry.version == id.version()
            && entry.instance != FREE
        {
            entry.instance = instance;
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
        let first = {
            let mut table = self.table();
            let entry = table.entries.get_mut(id.index()).ok_or(HostError::Gone)?;
            if entry.version != id.version() || entry.instance == FREE {
                return Err(HostError::Gone);
            }
            let pending = entry.bits != 0;
            entry.bits |= bits;
            if pending {
                return Ok(());
            }
            table.woken.push(id);
            table.woken.len() == 1
        };
        if first {
            (self.notify)();
        }
        Ok(())
    }

    /// Moves all that was woken into `into` (which is emptied first); ids that have ended meanwhile are left out.
    pub fn take_woken(&self, into: &mut Vec<(Id, u64)>) {
        into.clear();
        let mut table = self.table();
        let Table { entries, woken, .. } = &mut *table;
        for id in woken.drain(..) {
            if let Some(entry) = entries.get_mut(id.index())
                && entry.version == id.version()
                && entry.bits != 0
            {
                into.push((id, std::mem::take(&mut entry.bits)));
            }
        }
    }

    /// The index of the instance that an id belongs to, if the id is alive.
    #[must_use]
    pub fn instance_of(&self, id: Id) -> Option<u32> {
        let table = self.table();
        let entry = table.entries.get(id.index())?;
        (entry.version == id.version() && entry.instance != FREE).then_some(entry.instance)
    }
}

impl std::fmt::Debug for WakeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WakeTable")
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn directory() -> (WakeTable, Arc<AtomicUsize>) {
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let notify = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        (WakeTable::new(0, notify), told)
    }

    #[test]
    fn wakes_are_merged_and_told_once() {
        let (directory, told) = directory();
        let id = directory.add(Kind::Stream, 5).unwrap();
        directory.wake(id, 1).unwrap();
        directory.wake(id, 6).unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 1);
        let mut woken = Vec::new();
        directory.take_woken(&mut woken);
        assert_eq!(woken, [(id, 7)]);
        directory.wake(id, 8).unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 2);
        assert_eq!(directory.instance_of(id), Some(5));
    }

    #[test]
    fn an_id_that_changes_hands_keeps_what_waits_and_a_stale_one_does_not_come_to_life() {
        let (directory, _) = directory();
        let id = directory.add(Kind::Stream, 5).unwrap();
        directory.wake(id, 3).unwrap();
        directory.reassign(id, 9);
        assert_eq!(directory.instance_of(id), Some(9));
        directory.wake(id, 4).unwrap();
        let mut woken = Vec::new();
        directory.take_woken(&mut woken);
        assert_eq!(woken, [(id, 7)]);
        directory.end(id);
        directory.reassign(id, 5);
        assert_eq!(directory.instance_of(id), None);
        directory.remove(id);
        let next = directory.add(Kind::Stream, 6).unwrap();
        directory.reassign(id, 5);
        assert_eq!(directory.instance_of(next), Some(6));
    }

    #[test]
    fn a_stale_id_wakes_nobody_and_never_the_next_user_of_its_slot() {
        let (directory, _) = directory();
        let old = directory.add(Kind::Stream, 0).unwrap();
        directory.wake(old, 1).unwrap();
        directory.end(old);
        assert_eq!(directory.wake(old, 1), Err(HostError::Gone));
        assert_ne!(directory.add(Kind::Stream, 0).unwrap().slot(), old.slot());
        directory.remove(old);
        directory.remove(old);
        let new = directory.add(Kind::Stream, 0).unwrap();
        assert_eq!(old.slot(), new.slot());
        assert_eq!(directory.wake(old, 1), Err(HostError::Gone));
        let mut woken = Vec::new();
        directory.take_woken(&mut woken);
        assert_eq!(woken, []);
        directory.wake(new, 2).unwrap();
        directory.take_woken(&mut woken);
        assert_eq!(woken, [(new, 2)]);
    }
}
