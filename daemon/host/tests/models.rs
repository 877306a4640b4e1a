//! Every order in which threads can meet in the wake table and in the inbox of a hook thread, tried by loom. The modules
//! are compiled here a second time, with loom's primitives in the place of std's.
//!
//! `RUSTFLAGS="--cfg loom" cargo test --target-dir target/loom -p polyport-host --test models`
#![cfg(loom)]

use loom::thread;
use polyport_host::{id, status};

/// What `src/sync.rs` is in the crate.
mod sync {
    pub(crate) use std::sync::{OnceLock, PoisonError};

    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
}

#[path = "../src/hook_inbox.rs"]
#[expect(dead_code, reason = "the models do not use all of it")]
mod hook_inbox;
#[path = "../src/wake_table.rs"]
#[expect(unreachable_pub, reason = "public in its crate")]
mod wake_table;

use hook_inbox::{HookInbox, Work};
use id::{Id, Kind};
use status::HostError;
use sync::{Arc, AtomicU32, Ordering};
use wake_table::{IdAllocator, WakeTable};

/// Tries the orders in which a thread is interrupted at most three times where it could go on: most faults need two.
fn model(body: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(body);
}

/// Both halves, and a count of notifications.
fn table() -> (Arc<WakeTable>, IdAllocator, Arc<AtomicU32>) {
    let notified = Arc::new(AtomicU32::new(0));
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
fn wake_table_loses_no_bit_and_notifies_for_each_list_that_has_some() {
    model(|| {
        let (table, ids, notified) = table();
        let [one, other] = [0, 1].map(|_| ids.add(Kind::Stream, 0).unwrap());
        let wakers = [(one, 1), (other, 2)].map(|(id, bits)| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                table.wake(id, bits).unwrap();
                if id == other {
                    table.wake(one, 4).unwrap();
                }
            })
        });
        let mut all = woken(&ids);
        let lists = u32::from(!all.is_empty());
        for waker in wakers {
            waker.join().unwrap();
        }
        let rest = woken(&ids);
        let lists = lists + u32::from(!rest.is_empty());
        all.extend(rest);
        let bits_of = |wanted| {
            let its = all.iter().filter(|(id, _)| *id == wanted);
            its.fold(0, |bits, (_, more)| bits | more)
        };
        assert_eq!((bits_of(one), bits_of(other)), (5, 2));
        // Bits may be taken just before their slot is listed: that list is empty, and notified of all the same.
        assert!((lists..=2).contains(&notified.load(Ordering::SeqCst)));
    });
}

#[test]
fn wake_table_bits_reach_their_own_id_or_none() {
    model(|| {
        let (table, ids, _) = table();
        let old = ids.add(Kind::Stream, 0).unwrap();
        let waker = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.wake(old, 1))
        };
        ids.remove(old);
        let new = ids.add(Kind::Stream, 0).unwrap();
        table.wake(new, 2).unwrap();
        let mut all = woken(&ids);
        let of_old = waker.join().unwrap();
        assert!(matches!(of_old, Ok(()) | Err(HostError::Gone)));
        all.extend(woken(&ids));
        assert_eq!(all, [(new, 2)]);
    });
}

#[test]
fn wake_table_names_the_instance_of_an_id_or_none() {
    model(|| {
        let (table, ids, _) = table();
        let old = ids.add(Kind::Stream, 3).unwrap();
        let reader = {
            let table = Arc::clone(&table);
            thread::spawn(move || table.instance_of(old))
        };
        ids.reassign(old, 5);
        ids.remove(old);
        ids.add(Kind::Stream, 4).unwrap();
        assert!(matches!(reader.join().unwrap(), None | Some(3 | 5)));
    });
}

#[test]
fn hook_inbox_gives_each_hook_out_or_drops_it_and_always_ends() {
    model(|| {
        let inbox = Arc::new(HookInbox::<Arc<()>>::default());
        let hook = Arc::new(());
        let pushing = {
            let (inbox, hook) = (Arc::clone(&inbox), Arc::clone(&hook));
            thread::spawn(move || {
                inbox.push(hook);
                inbox.wake(1)
            })
        };
        let closing = {
            let inbox = Arc::clone(&inbox);
            thread::spawn(move || inbox.close())
        };
        let mut was_woken = false;
        loop {
            match inbox.next(None) {
                Work::Hook(hook) => drop(hook),
                Work::Wake(bits) => {
                    assert_eq!(bits, 1);
                    was_woken = true;
                }
                Work::End => break,
                Work::DialFailed(..) | Work::Timer => unreachable!(),
            }
        }
        let taken = pushing.join().unwrap();
        closing.join().unwrap();
        assert!(!was_woken || taken.is_ok());
        assert_eq!(Arc::strong_count(&hook), 1);
    });
}
