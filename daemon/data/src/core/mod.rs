//! What the rooms of a worker share: table, epoll set, clock, timers, queued work, the running callback, paused
//! instances. Cells inside; no borrow is held over a callback. Nothing here calls a plugin.

mod call;
pub(crate) mod dial;
mod host_api;
mod mailbox;
mod output;
mod pause;
mod send;
mod timeouts;
mod timers;
mod work;

use std::cell::Cell;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use polyport_common::shutdown::Phase;
use polyport_host::id::{Id, Kind};
use polyport_host::status::HostError;
use polyport_host::wake_table::{IdAllocator, WakeTable};
use polyport_sys::epoll::Epoll;

pub(crate) use call::{CallScope, Effect, GATHER_MAX};
pub use mailbox::{Accepted, Command, Mailbox, Standby};
pub(crate) use output::{drop_output, flush_output, waiting_output};
pub(crate) use pause::PauseSet;
pub(crate) use timeouts::{Timeout, arm, earliest};
pub(crate) use timers::Timers;
pub(crate) use work::{Cause, FailedDial, PendingDial, ReadyQueue, Work};

use crate::admit::Permit;
use crate::object::{Entity, Flag, Object, Table};
use crate::service::Service;
use crate::time::{Clock, TimerKey, nanos};

/// See the module's text.
pub(crate) struct Core {
    pub(crate) number: u8,
    pub(crate) table: Table,
    pub(crate) ids: IdAllocator,
    pub(crate) epoll: Epoll,
    pub(crate) clock: Clock,
    timers: Timers,
    pub(crate) ready: ReadyQueue,
    pub(crate) call: CallScope,
    pub(crate) pause: PauseSet,
    /// The phase of the shutdown.
    pub(crate) phase: Cell<Option<Phase>>,
    /// For now or for good, this process accepts and receives nothing.
    pub(crate) standby: Cell<bool>,
    pub(crate) mailbox: Arc<Mailbox>,
    /// The mailboxes of all workers, by number, this one's among them.
    pub(crate) peers: Arc<[Arc<Mailbox>]>,
}

impl Core {
    /// # Errors
    /// The system has no more descriptors.
    pub(crate) fn new(
        number: u8,
        wake_table: Arc<WakeTable>,
        mailbox: Arc<Mailbox>,
        peers: Arc<[Arc<Mailbox>]>,
        clock: Clock,
    ) -> io::Result<Self> {
        Ok(Self {
            number,
            table: Table::default(),
            ids: IdAllocator::new(wake_table),
            epoll: Epoll::new()?,
            timers: Timers::new(&clock),
            clock,
            ready: ReadyQueue::default(),
            call: CallScope::new(),
            pause: PauseSet::default(),
            phase: Cell::new(None),
            standby: Cell::new(false),
            mailbox,
            peers,
        })
    }

    /// Puts an object into the table.
    pub(crate) fn insert(&self, entity: Entity) {
        let object = entity.object();
        if object.id.kind() != Some(Kind::Socket) {
            object.service().began();
        }
        self.table.insert(entity);
        self.count_live();
    }

    /// Takes an object out of the table, with its timers, permit and group; its id is stale from now on.
    pub(crate) fn remove(&self, object: &Object) {
        object.set(Flag::ENDED);
        self.cancel_timers(object);
        self.disarm(object);
        self.ids.remove(object.id);
        if self.table.remove(object.id) && object.id.kind() != Some(Kind::Socket) {
            object.service().ended();
        }
        self.count_live();
        if let Some(permit) = object.permit.take() {
            self.give_back(permit);
        }
        self.leave_group(object);
    }

    fn count_live(&self) {
        self.mailbox
            .set_live(self.table.streams(), self.table.len());
    }

    /// Gives a permit back; listeners of all workers that wait for one are notified.
    pub(crate) fn give_back(&self, permit: Permit) {
        let permits = Arc::clone(permit.permits());
        drop(permit);
        if permits.take_wanted() {
            self.peers.iter().for_each(|mailbox| mailbox.notify_room());
        }
    }

    fn leave_group(&self, object: &Object) {
        if let Some(dialled) = object.dialled.as_deref() {
            dial::end(self, *dialled);
        }
        let Some(group) = object.group.take() else {
            return;
        };
        group.remove(object.id);
        dial::settle_root(self, &group);
    }

    /// Sets a timer, counted from this moment.
    pub(crate) fn after(&self, after: Duration, work: Work) -> TimerKey {
        self.timers.add(&self.clock, work, after)
    }

    /// Cancels a timer; nothing happens when it has come already.
    pub(crate) fn cancel(&self, key: TimerKey) {
        self.timers.remove(key);
    }

    /// Queues the next timer that is due; returns whether there was one.
    pub(crate) fn next_due(&self) -> Option<Work> {
        self.timers.pop(&self.clock)
    }

    /// How long the next turn may wait.
    pub(crate) fn sleep(&self) -> Option<Duration> {
        if self.ready.is_empty() {
            self.timers.sleep(&self.clock)
        } else {
            Some(Duration::ZERO)
        }
    }

    /// Cancels the handler's timers of an object.
    pub(crate) fn cancel_timers(&self, object: &Object) {
        object
            .timers
            .borrow_mut()
            .clear()
            .for_each(|key| self.timers.remove(key));
    }

    /// The entry of a plugin's timer has come: sets the next one of a periodic timer, and returns whether the handler is to
    /// be notified.
    pub(crate) fn timer_fired(&self, object: &Object, key: u32, setting: u32) -> bool {
        let work = Work::Object(object.id, Cause::Timer(key, setting));
        let mut timers = object.timers.borrow_mut();
        timers.fired(key, setting, |period| self.after(period, work))
    }

    /// Cancels the entry for the next timeout of an object.
    pub(crate) fn disarm(&self, object: &Object) {
        if let Some((key, _)) = object.timeout.take() {
            self.timers.remove(key);
        }
    }

    /// Queues a cause for an object, for this turn.
    pub(crate) fn queue(&self, id: Id, cause: Cause) {
        self.ready.push(Work::Object(id, cause));
    }

    /// Lets the next turn go on with an object, once.
    pub(crate) fn go_on(&self, object: &Object) {
        if object.mark(Flag::QUEUED) {
            self.ready.push_next(Work::Object(object.id, Cause::More));
        }
    }

    /// Has the forced end of the shutdown begun?
    pub(crate) fn is_forced(&self) -> bool {
        matches!(self.phase.get(), Some(Phase::Force))
    }

    /// The end of the grace period of the shutdown, nanoseconds.
    pub(crate) fn drain_deadline(&self) -> u64 {
        match self.phase.get() {
            Some(Phase::Drain { deadline }) => self.clock.nanos_of(deadline),
            _ => self.clock.now(),
        }
    }

    /// When a drain that begins now and may take `grace` is over, nanoseconds.
    pub(crate) fn deadline_in(&self, grace: Duration) -> u64 {
        self.clock.now().saturating_add(nanos(grace))
    }

    /// A new id for something of an instance.
    ///
    /// # Errors
    /// Full.
    pub(crate) fn new_id(&self, kind: Kind, service: &Service) -> Result<Id, HostError> {
        self.ids.add(kind, service.instance.index())
    }

    /// Watches a descriptor no longer.
    pub(crate) fn unwatch(&self, fd: &impl AsFd) {
        drop(self.epoll.remove(fd.as_fd()));
    }
}
