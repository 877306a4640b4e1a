//! The ids of a worker: which are alive, and what wakes reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use polyport_host::id::{Id, Kind};
use polyport_host::status::HostError;
use polyport_host::wake_table::{IdAllocator, WakeTable};

/// Both halves, and how often the worker was notified.
fn table() -> (Arc<WakeTable>, IdAllocator, Arc<AtomicUsize>) {
    let notified = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&notified);
    let notify = Box::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let table = Arc::new(WakeTable::new(0, notify));
    (Arc::clone(&table), IdAllocator::new(table), notified)
}

fn woken(ids: &IdAllocator) -> Vec<(Id, u64)> {
    let mut woken = Vec::new();
    ids.take_woken(&mut woken);
    woken
}

#[test]
fn wake_table_merges_wakes_and_notifies_once() {
    let (table, ids, notified) = table();
    let id = ids.add(Kind::Stream, 5).unwrap();
    table.wake(id, 1).unwrap();
    table.wake(id, 6).unwrap();
    assert_eq!(notified.load(Ordering::SeqCst), 1);
    assert_eq!(woken(&ids), [(id, 7)]);
    table.wake(id, 8).unwrap();
    assert_eq!(notified.load(Ordering::SeqCst), 2);
    assert_eq!(table.instance_of(id), Some(5));
    assert_eq!(table.wake(id, 0), Err(HostError::Invalid));
}

#[test]
fn wake_table_gives_wakes_out_in_their_order() {
    let (table, ids, notified) = table();
    let all: Vec<_> = (0..3000).map(|_| ids.add(Kind::Flow, 1).unwrap()).collect();
    for id in all.iter().rev() {
        table.wake(*id, 1).unwrap();
    }
    let expected: Vec<_> = all.iter().rev().map(|id| (*id, 1)).collect();
    assert_eq!(woken(&ids), expected);
    assert_eq!(notified.load(Ordering::SeqCst), 1);
    assert_eq!(woken(&ids), []);
}

#[test]
fn wake_table_reassigns_an_id_with_its_bits_and_no_stale_one() {
    let (table, ids, _) = table();
    let id = ids.add(Kind::Stream, 5).unwrap();
    table.wake(id, 3).unwrap();
    ids.reassign(id, 9);
    assert_eq!(table.instance_of(id), Some(9));
    table.wake(id, 4).unwrap();
    assert_eq!(woken(&ids), [(id, 7)]);
    ids.end(id);
    ids.reassign(id, 5);
    assert_eq!(table.instance_of(id), None);
    ids.remove(id);
    let next = ids.add(Kind::Stream, 6).unwrap();
    ids.reassign(id, 5);
    assert_eq!(table.instance_of(next), Some(6));
}

#[test]
fn wake_table_refuses_a_stale_id_and_wakes_not_the_next_of_its_slot() {
    let (table, ids, _) = table();
    let old = ids.add(Kind::Stream, 0).unwrap();
    table.wake(old, 1).unwrap();
    ids.end(old);
    assert_eq!(table.wake(old, 1), Err(HostError::Gone));
    assert_ne!(ids.add(Kind::Stream, 0).unwrap().slot(), old.slot());
    ids.remove(old);
    ids.remove(old);
    let new = ids.add(Kind::Stream, 0).unwrap();
    assert_eq!(old.slot(), new.slot());
    assert_eq!(table.wake(old, 1), Err(HostError::Gone));
    // The slot is listed for the old id, and the new one is woken all the same.
    table.wake(new, 2).unwrap();
    assert_eq!(woken(&ids), [(new, 2)]);
    let unlike = Id::new(Kind::Socket, 0, new.slot(), new.version());
    assert_eq!(table.wake(unlike, 1), Err(HostError::Gone));
}

#[test]
fn wake_table_is_full_only_while_all_slots_are_in_use() {
    let (_, ids, _) = table();
    let mut all = Vec::new();
    while let Ok(id) = ids.add(Kind::Stream, 0) {
        all.push(id);
    }
    assert_eq!(all.len(), polyport_host::id::SLOTS_MAX as usize);
    let ended = all.swap_remove(77);
    ids.end(ended);
    assert_eq!(ids.add(Kind::Stream, 0), Err(HostError::Full));
    ids.remove(ended);
    assert_eq!(ids.add(Kind::Stream, 0).unwrap().slot(), ended.slot());
}

/// Real threads wake ids that come and go: bits say which id they are for.
#[test]
fn wake_table_keeps_bits_apart_while_threads_wake_ids_that_end() {
    let (table, ids, _) = table();
    let bit = |id: Id| 1_u64 << (id.version() % 64);
    let (current, is_over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let id = Id::from_raw(current.load(Ordering::Relaxed));
                    let _alive_or_gone = table.wake(id, bit(id));
                }
            });
        }
        let mut seen = 0;
        for round in 0_u32.. {
            let id = ids.add(Kind::Stream, 0).unwrap();
            current.store(id.raw(), Ordering::Relaxed);
            for _ in 0..round % 50 {
                for (woken, bits) in woken(&ids) {
                    assert_eq!((woken, bits), (id, bit(id)));
                    seen += 1;
                }
            }
            ids.remove(id);
            if seen >= 1000 && round >= 20_000 {
                break;
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
}
