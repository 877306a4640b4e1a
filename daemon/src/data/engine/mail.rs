//! Mail: what other threads hand to a worker. Bounded; who finds it full keeps what it has.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polyport_host::desk::Dial;
use polyport_sys::{PeerAddress, Stream, Wakeup};
use tokio::sync::Notify;

use super::cede::Ceding;
use crate::common::pass::Pass;
use crate::common::shutdown::Phase;
use crate::data::accept::Listener;
use crate::data::admit::Permit;
use crate::data::service::Service;
use crate::data::snapshot::Snapshot;

/// One letter.
#[derive(Debug)]
pub enum Mail {
    /// Serve this from now on. The pass goes when that is so, or when a newer one came first.
    Snapshot(Arc<Snapshot>, Pass),
    /// Call nothing of these instances until they are released. The pass goes when that is so.
    Hold(Arc<[u32]>, Pass),
    /// Go on with these instances.
    Release(Arc<[u32]>, Pass),
    /// Who serves those who come from now on. The pass goes when that is so.
    Cede(Ceding, Pass),
    /// Take over a connection that another worker accepted.
    Adopt(Box<Accepted>),
    /// Connect for an instance.
    Dial(Arc<Service>, Dial),
    /// The shutdown has come this far.
    Phase(Phase),
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Stream,
    /// Who made it.
    pub peer: PeerAddress,
    /// Who accepted it.
    pub listener: Arc<Listener>,
    /// Who is behind the listener, as the worker that accepted knows it.
    pub service: Arc<Service>,
    /// Its room.
    pub permit: Permit,
}

/// Most letters that wait; what control says comes through all the same.
const LETTERS_MAX: usize = 4096;

/// A worker's door for other threads.
#[derive(Debug)]
pub struct Door {
    /// `None` once the worker has ended: nothing is taken any more.
    letters: Mutex<Option<VecDeque<Mail>>>,
    bell: Wakeup,
    /// There may be room for streams again.
    room: AtomicBool,
    /// Streams and draining sockets that live here.
    live: AtomicUsize,
    /// The watchdog saw it stuck in a callback: give it nothing new.
    stuck: AtomicBool,
    /// Rings once the worker has closed its listeners.
    closed: Notify,
}

impl Door {
    /// Opens an empty one.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            letters: Mutex::new(Some(VecDeque::new())),
            bell: Wakeup::new()?,
            room: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
            closed: Notify::new(),
        }))
    }

    /// Puts a letter in. What control says passes even when the door is full; so that a worker that is stuck gathers
    /// none of it, a snapshot takes the place of the one that waits, and a release takes back the hold that waits.
    /// Neither passes what it goes with: a hold before the snapshot, the snapshot before the release.
    ///
    /// # Errors
    /// The door is full or its worker has ended; the letter comes back.
    pub fn post(&self, letter: Mail) -> Result<(), Mail> {
        let mut guard = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(letters) = guard.as_mut() else {
            return Err(letter);
        };
        match &letter {
            Mail::Snapshot(..) => {
                let hold = last(letters, |old| matches!(old, Mail::Hold(..)));
                let before = last(letters, |old| matches!(old, Mail::Snapshot(..)));
                if let Some(place) = before.filter(|_| hold < before)
                    && let Some(old) = letters.get_mut(place)
                {
                    *old = letter;
                    return Ok(());
                }
            }
            Mail::Release(instances, _) => {
                let snapshot = last(letters, |old| matches!(old, Mail::Snapshot(..)));
                let is_its = |old: &Mail| matches!(old, Mail::Hold(held, _) if held == instances);
                let hold = last(letters, is_its);
                if let Some(place) = hold.filter(|_| hold > snapshot) {
                    letters.remove(place);
                    return Ok(());
                }
            }
            Mail::Hold(..) | Mail::Cede(..) | Mail::Phase(_) => {}
            Mail::Adopt(_) | Mail::Dial(..) => {
                if letters.len() >= LETTERS_MAX {
                    return Err(letter);
                }
            }
        }
        letters.push_back(letter);
        drop(guard);
        self.bell.notify();
        Ok(())
    }

    /// Says that there may be room for streams again.
    pub(super) fn tell_room(&self) {
        if !self.room.swap(true, Ordering::AcqRel) {
            self.bell.notify();
        }
    }

    pub(super) fn take_room(&self) -> bool {
        self.room.swap(false, Ordering::AcqRel)
    }

    /// Rings without a letter: something was woken.
    pub fn ring(&self) {
        self.bell.notify();
    }

    /// The bell, to be waited for.
    pub(super) fn bell(&self) -> &Wakeup {
        &self.bell
    }

    pub(super) fn take(&self) -> Option<Mail> {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.as_mut()?.pop_front()
    }

    /// Closes the door for good if nothing waits behind it; says whether.
    pub(super) fn close(&self) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = letters.as_ref().is_none_or(VecDeque::is_empty);
        if empty {
            *letters = None;
        }
        empty
    }

    /// Has its worker ended?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.letters
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }

    /// How many live here.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(super) fn set_live(&self, live: usize) {
        self.live.store(live, Ordering::Relaxed);
    }

    pub(super) fn tell_listeners_closed(&self) {
        self.closed.notify_one();
    }

    /// Waits until the worker has closed its listeners; for one waiter, once.
    pub async fn listeners_closed(&self) {
        self.closed.notified().await;
    }

    /// Is it stuck in a callback?
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Set by the watchdog.
    pub fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }
}

fn last(letters: &VecDeque<Mail>, fits: impl Fn(&Mail) -> bool) -> Option<usize> {
    letters.iter().rposition(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::pass::Gate;

    fn snapshot(number: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            number,
            services: Vec::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
        })
    }

    fn fill(door: &Door) {
        let instances: Arc<[u32]> = Arc::from([]);
        for _ in 0..LETTERS_MAX {
            door.letters
                .lock()
                .unwrap()
                .as_mut()
                .unwrap()
                .push_back(Mail::Release(Arc::clone(&instances), Gate::new().pass()));
        }
    }

    #[test]
    fn a_full_door_still_takes_what_control_says() {
        let door = Door::new().unwrap();
        fill(&door);
        let gate = Gate::new();
        door.post(Mail::Snapshot(snapshot(1), gate.pass())).unwrap();
        door.post(Mail::Hold(Arc::from([7]), gate.pass())).unwrap();
        door.post(Mail::Phase(Phase::Force)).unwrap();
    }

    #[test]
    fn of_snapshots_that_wait_only_the_newest_is_kept() {
        let door = Door::new().unwrap();
        let (first, second) = (Gate::new(), Gate::new());
        door.post(Mail::Snapshot(snapshot(1), first.pass()))
            .unwrap();
        door.post(Mail::Snapshot(snapshot(2), second.pass()))
            .unwrap();
        assert!(!first.is_held());
        assert!(second.is_held());
        let Some(Mail::Snapshot(snapshot, _)) = door.take() else {
            panic!("no snapshot");
        };
        assert_eq!(snapshot.number, 2);
        assert!(door.take().is_none());
    }

    /// The letters that wait, by kind.
    fn kinds(door: &Door) -> String {
        std::iter::from_fn(|| door.take())
            .map(|letter| match letter {
                Mail::Snapshot(snapshot, _) => format!("s{} ", snapshot.number),
                Mail::Hold(..) => "hold ".to_owned(),
                Mail::Release(..) => "release ".to_owned(),
                _ => "other ".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_release_stays_behind_the_snapshot_that_it_was_for_and_a_hold_before_it() {
        let gate = Gate::new();
        let instances: Arc<[u32]> = Arc::from([7]);
        let swap = |number| Mail::Snapshot(snapshot(number), gate.pass());
        let hold = || Mail::Hold(Arc::clone(&instances), gate.pass());
        let release = || Mail::Release(Arc::clone(&instances), gate.pass());
        for (letters, wanted) in [
            (vec![swap(1), release(), swap(2)], "s2 release "),
            (vec![swap(1), hold(), swap(2)], "s1 hold s2 "),
            (
                vec![hold(), swap(1), release(), swap(2)],
                "hold s2 release ",
            ),
            (vec![swap(1), hold(), release(), swap(2)], "s2 "),
            (vec![hold(), hold(), release()], "hold "),
        ] {
            let door = Door::new().unwrap();
            letters
                .into_iter()
                .for_each(|letter| door.post(letter).unwrap());
            assert_eq!(kinds(&door), wanted);
        }
    }

    #[test]
    fn a_hold_that_was_not_begun_goes_with_its_release() {
        let door = Door::new().unwrap();
        let instances: Arc<[u32]> = Arc::from([7, 9]);
        let (hold, release) = (Gate::new(), Gate::new());
        door.post(Mail::Hold(Arc::clone(&instances), hold.pass()))
            .unwrap();
        door.post(Mail::Release(instances, release.pass())).unwrap();
        assert!(!hold.is_held() && !release.is_held());
        assert!(door.take().is_none());
    }
}
