//! The mailbox of a worker: commands of control and of other workers, and what they may read of the worker.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use polyport_common::shutdown::Phase;
use polyport_common::wait_group::Token;
use polyport_host::host_api::Dial;
use polyport_sys::{PeerAddress, Stream, Wakeup};
use tokio::sync::Notify;

use crate::admit::Permit;
use crate::listen::Listener;
use crate::service::Service;
use crate::snapshot::Snapshot;

/// One command. Tokens are dropped once the command is carried out, or superseded by a newer one.
#[derive(Debug)]
pub enum Command {
    /// Serve this from now on.
    Snapshot(Arc<Snapshot>, Token),
    /// Make no more callbacks of these instances until they are resumed.
    Pause(Arc<[u32]>, Token),
    /// Go on with these instances.
    Resume(Arc<[u32]>, Token),
    /// Change which process accepts and receives.
    Standby(Standby, Token),
    /// Take over a connection that another worker accepted.
    Adopt(Box<Accepted>),
    /// Connect for an instance.
    Dial(Arc<Service>, Dial),
    /// The shutdown has reached this phase.
    Phase(Phase),
}

/// Which process accepts and receives.
#[derive(Debug, Clone)]
pub enum Standby {
    /// None for now: connections and datagrams wait in the kernel.
    Suspend,
    /// This process again.
    Resume,
    /// Another process, for good; streams of this one stay until they end.
    HandOff {
        /// Instances that are paused and whose state has gone over: their streams and sockets end, because nothing that
        /// they change would be kept.
        gone: Arc<[u32]>,
        /// Until when the flows of datagram sockets may drain.
        until: Instant,
    },
}

/// An accepted connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Stream,
    /// The remote address.
    pub peer: PeerAddress,
    /// The listener that it came through.
    pub listener: Arc<Listener>,
    /// The service of the listener, as the worker that accepted knows it.
    pub service: Arc<Service>,
    /// Its permit.
    pub permit: Permit,
}

/// Bound on queued commands of other workers and of plugins; commands of control ignore it.
const COMMANDS_MAX: usize = 4096;

/// See the module's text. All methods may be called from any thread.
#[derive(Debug)]
pub struct Mailbox {
    commands: Mutex<VecDeque<Command>>,
    /// The worker has ended; no command is taken any more. Written under the lock of `commands`.
    closed: AtomicBool,
    waker: Wakeup,
    /// A permit came back while a listener waited for one.
    room: AtomicBool,
    /// Streams and flows of the worker.
    streams: AtomicUsize,
    /// The same with its sockets.
    live: AtomicUsize,
    /// Set by the watchdog while a callback blocks the worker: new streams go to other workers.
    stuck: AtomicBool,
    /// Notified once the worker has closed its listeners.
    listeners_closed: Notify,
}

impl Mailbox {
    /// An open and empty one.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            commands: Mutex::default(),
            closed: AtomicBool::new(false),
            waker: Wakeup::new()?,
            room: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            stuck: AtomicBool::new(false),
            listeners_closed: Notify::new(),
        }))
    }

    fn commands(&self) -> std::sync::MutexGuard<'_, VecDeque<Command>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a command and wakes the worker.
    ///
    /// Commands of control ignore the bound. So that the queue of a stuck worker stays short, a new snapshot replaces a
    /// queued one, and a resume cancels a queued pause. The order pause, snapshot, resume is never changed.
    ///
    /// # Errors
    /// The mailbox is full or closed; the command comes back.
    pub fn send(&self, command: Command) -> Result<(), Command> {
        let mut commands = self.commands();
        if self.is_closed() {
            return Err(command);
        }
        match &command {
            Command::Snapshot(..) => {
                let pause = last(&commands, |old| matches!(old, Command::Pause(..)));
                let before = last(&commands, |old| matches!(old, Command::Snapshot(..)));
                if let Some(place) = before.filter(|_| pause < before)
                    && let Some(old) = commands.get_mut(place)
                {
                    *old = command;
                    return Ok(());
                }
            }
            Command::Resume(instances, _) => {
                let snapshot = last(&commands, |old| matches!(old, Command::Snapshot(..)));
                let is_pause =
                    |old: &Command| matches!(old, Command::Pause(paused, _) if paused == instances);
                let pause = last(&commands, is_pause);
                if let Some(place) = pause.filter(|_| pause > snapshot) {
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
        drop(commands);
        self.waker.notify();
        Ok(())
    }

    /// Notes that a permit came back, and wakes the worker.
    pub(crate) fn notify_room(&self) {
        if !self.room.swap(true, Ordering::AcqRel) {
            self.waker.notify();
        }
    }

    /// Returns whether a permit came back since the last call.
    pub(crate) fn take_room(&self) -> bool {
        self.room.swap(false, Ordering::AcqRel)
    }

    /// Wakes the worker without a command: an object was woken.
    pub fn wake(&self) {
        self.waker.notify();
    }

    /// For the worker's epoll set.
    pub(crate) fn waker(&self) -> &Wakeup {
        &self.waker
    }

    /// The oldest command.
    pub(crate) fn take(&self) -> Option<Command> {
        self.commands().pop_front()
    }

    /// Closes the mailbox for good if no command is queued; returns whether it is closed.
    pub(crate) fn close(&self) -> bool {
        let commands = self.commands();
        if commands.is_empty() {
            self.closed.store(true, Ordering::Release);
        }
        commands.is_empty()
    }

    /// Has the worker ended?
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// How many streams and flows the worker has.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// How many streams, flows and sockets the worker has.
    #[must_use]
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn set_live(&self, streams: usize, live: usize) {
        self.streams.store(streams, Ordering::Relaxed);
        self.live.store(live, Ordering::Relaxed);
    }

    pub(crate) fn notify_listeners_closed(&self) {
        self.listeners_closed.notify_one();
    }

    /// Waits until the worker has closed its listeners; for one waiter, once.
    pub async fn listeners_closed(&self) {
        self.listeners_closed.notified().await;
    }

    /// Is the worker stuck in a callback?
    #[must_use]
    pub fn is_stuck(&self) -> bool {
        self.stuck.load(Ordering::Relaxed)
    }

    /// Set by the watchdog.
    pub fn set_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }
}

/// The place of the newest queued command that fits.
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
            mailbox.commands().push_back(Command::Resume(
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
