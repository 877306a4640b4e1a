//! Command: what other threads hand to a worker. Bounded; who finds it full keeps what it has.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use polyport_host::host_api::Dial;
use polyport_sys::{PeerAddress, Stream, Wakeup};
use tokio::sync::Notify;

use super::cede::Standby;
use crate::accept::Listener;
use crate::admit::Permit;
use crate::service::Service;
use crate::snapshot::Snapshot;
use polyport_common::shutdown::Phase;
use polyport_common::wait_group::Token;

/// One command.
#[derive(Debug)]
pub enum Command {
    /// Serve this from now on. The pass goes when that is so, or when a newer one came first.
    Snapshot(Arc<Snapshot>, Token),
    /// Call nothing of these instances until they are released. The pass goes when that is so.
    Pause(Arc<[u32]>, Token),
    /// Go on with these instances.
    Resume(Arc<[u32]>, Token),
    /// Who serves those who come from now on. The pass goes when that is so.
    Standby(Standby, Token),
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

/// Most commands that wait; what control says comes through all the same.
const COMMANDS_MAX: usize = 4096;

/// A worker's mailbox for other threads.
#[derive(Debug)]
pub struct Mailbox {
    /// `None` once the worker has ended: nothing is taken any more.
    commands: Mutex<Option<VecDeque<Command>>>,
    waker: Wakeup,
    /// There may be room for streams again.
    room: AtomicBool,
    /// Streams and draining sockets that live here.
    live: AtomicUsize,
    /// The watchdog saw it stuck in a callback: give it nothing new.
    stuck: AtomicBool,
    /// Rings once the worker has closed its listeners.
    closed: Notify,
}

impl Mailbox {
    /// Opens an empty one.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            commands: Mutex::new(Some(VecDeque::new())),
            waker: Wakeup::new()?,
            room: AtomicBool::new(false),
            live: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
            closed: Notify::new(),
        }))
    }

    /// Puts a command in. What control says passes even when the mailbox is full; so that a worker that is stuck gathers
    /// none of it, a snapshot takes the place of the one that waits, and a release takes back the hold that waits.
    /// Neither passes what it goes with: a hold before the snapshot, the snapshot before the release.
    ///
    /// # Errors
    /// The mailbox is full or its worker has ended; the command comes back.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        let mut guard = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(commands) = guard.as_mut() else {
            return Err(command);
        };
        match &command {
            Command::Snapshot(..) => {
                let hold = last(commands, |old| matches!(old, Command::Pause(..)));
                let before = last(commands, |old| matches!(old, Command::Snapshot(..)));
                if let Some(place) = before.filter(|_| hold < before)
                    && let Some(old) = commands.get_mut(place)
                {
                    *old = command;
                    return Ok(());
                }
            }
            Command::Resume(instances, _) => {
                let snapshot = last(commands, |old| matches!(old, Command::Snapshot(..)));
                let is_its =
                    |old: &Command| matches!(old, Command::Pause(held, _) if held == instances);
                let hold = last(commands, is_its);
                if let Some(place) = hold.filter(|_| hold > snapshot) {
                    commands.remove(place);
                    return Ok(());
                }
            }
            Command::Pause(..) | Command::Standby(..) | Command::Phase(_) => {}
            Command::Adopt(_) | Command::Dial(..) => {
                if commands.len() >= COMMANDS_MAX {
                    return Err(command);
                }
            }
        }
        commands.push_back(command);
        drop(guard);
        self.waker.notify();
        Ok(())
    }

    /// Says that there may be room for streams again.
    pub(super) fn notify_room(&self) {
        if !self.room.swap(true, Ordering::AcqRel) {
            self.waker.notify();
        }
    }

    pub(super) fn take_room(&self) -> bool {
        self.room.swap(false, Ordering::AcqRel)
    }

    /// Rings without a command: something was woken.
    pub fn wake(&self) {
        self.waker.notify();
    }

    /// The waker, to be waited for.
    pub(super) fn waker(&self) -> &Wakeup {
        &self.waker
    }

    pub(super) fn take(&self) -> Option<Command> {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        commands.as_mut()?.pop_front()
    }

    /// Closes the mailbox for good if nothing waits behind it; says whether.
    pub(super) fn close(&self) -> bool {
        let mut commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = commands.as_ref().is_none_or(VecDeque::is_empty);
        if empty {
            *commands = None;
        }
        empty
    }

    /// Has its worker ended?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.commands
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

fn last(commands: &VecDeque<Command>, fits: impl Fn(&Command) -> bool) -> Option<usize> {
    commands.iter().rposition(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyport_common::wait_group::wait_group;

    fn snapshot(number: u64) -> Arc<Snapshot> {
        Arc::new(Snapshot {
            number,
            services: Vec::new(),
            listeners: Vec::new(),
            sockets: Vec::new(),
            leaving: Vec::new(),
        })
    }

    fn fill(mailbox: &Mailbox) {
        let instances: Arc<[u32]> = Arc::from([]);
        for _ in 0..COMMANDS_MAX {
            mailbox
                .commands
                .lock()
                .unwrap()
                .as_mut()
                .unwrap()
                .push_back(Command::Resume(
                    Arc::clone(&instances),
                    wait_group().token(),
                ));
        }
    }

    #[test]
    fn a_full_door_still_takes_what_control_says() {
        let mailbox = Mailbox::new().unwrap();
        fill(&mailbox);
        let gate = wait_group();
        mailbox
            .send(Command::Snapshot(snapshot(1), gate.token()))
            .unwrap();
        mailbox
            .send(Command::Pause(Arc::from([7]), gate.token()))
            .unwrap();
        mailbox.send(Command::Phase(Phase::Force)).unwrap();
    }

    #[test]
    fn of_snapshots_that_wait_only_the_newest_is_kept() {
        let mailbox = Mailbox::new().unwrap();
        let (first, second) = (wait_group(), wait_group());
        mailbox
            .send(Command::Snapshot(snapshot(1), first.token()))
            .unwrap();
        mailbox
            .send(Command::Snapshot(snapshot(2), second.token()))
            .unwrap();
        assert!(first.is_empty());
        assert!(!second.is_empty());
        let Some(Command::Snapshot(snapshot, _)) = mailbox.take() else {
            panic!("no snapshot");
        };
        assert_eq!(snapshot.number, 2);
        assert!(mailbox.take().is_none());
    }

    /// The commands that wait, by kind.
    fn kinds(mailbox: &Mailbox) -> String {
        std::iter::from_fn(|| mailbox.take())
            .map(|command| match command {
                Command::Snapshot(snapshot, _) => format!("s{} ", snapshot.number),
                Command::Pause(..) => "hold ".to_owned(),
                Command::Resume(..) => "release ".to_owned(),
                _ => "other ".to_owned(),
            })
            .collect()
    }

    #[test]
    fn a_release_stays_behind_the_snapshot_that_it_was_for_and_a_hold_before_it() {
        let gate = wait_group();
        let instances: Arc<[u32]> = Arc::from([7]);
        let swap = |number| Command::Snapshot(snapshot(number), gate.token());
        let hold = || Command::Pause(Arc::clone(&instances), gate.token());
        let release = || Command::Resume(Arc::clone(&instances), gate.token());
        for (commands, wanted) in [
            (vec![swap(1), release(), swap(2)], "s2 release "),
            (vec![swap(1), hold(), swap(2)], "s1 hold s2 "),
            (
                vec![hold(), swap(1), release(), swap(2)],
                "hold s2 release ",
            ),
            (vec![swap(1), hold(), release(), swap(2)], "s2 "),
            (vec![hold(), hold(), release()], "hold "),
        ] {
            let mailbox = Mailbox::new().unwrap();
            commands
                .into_iter()
                .for_each(|command| mailbox.send(command).unwrap());
            assert_eq!(kinds(&mailbox), wanted);
        }
    }

    #[test]
    fn a_hold_that_was_not_begun_goes_with_its_release() {
        let mailbox = Mailbox::new().unwrap();
        let instances: Arc<[u32]> = Arc::from([7, 9]);
        let (hold, release) = (wait_group(), wait_group());
        mailbox
            .send(Command::Pause(Arc::clone(&instances), hold.token()))
            .unwrap();
        mailbox
            .send(Command::Resume(instances, release.token()))
            .unwrap();
        assert!(hold.is_empty() && release.is_empty());
        assert!(mailbox.take().is_none());
    }
}
