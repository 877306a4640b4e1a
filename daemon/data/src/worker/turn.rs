//! The turn of a worker, and the one dispatcher of its work.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::host_api::{Dial, DialTarget};
use polyport_host::id::{Id, Kind};
use polyport_host::stream::DialOrigin;
use polyport_sys::epoll::Event;

use super::Worker;
use crate::accept::LISTENER;
use crate::core::dial::{begin, end_failed, refused};
use crate::core::{Accepted, Cause, Command, FailedDial, PendingDial, Work};
use crate::datagram::dial_failed;
use crate::object::Flag;
use crate::service::Service;

/// Connections that are accepted from one listener in one turn.
const ACCEPTS: usize = 64;
/// Queued work that is done in one turn.
const WORK_MAX: usize = 8192;

impl Worker {
    /// How long the next turn may wait: until the next timer, and not at all when the last turn left something over.
    #[must_use]
    pub fn sleep(&self) -> Option<Duration> {
        self.core.sleep()
    }

    /// One turn: waits for `sleep` at most until something is ready (`None`: for ever), then serves what is ready or due.
    ///
    /// New connections come first: a worker that was woken for one and is then held up by a callback would keep it
    /// waiting while other workers sleep, because the kernel wakes only one of them.
    ///
    /// # Errors
    /// The epoll set cannot be polled: the worker cannot go on.
    pub fn turn(&mut self, sleep: Option<Duration>) -> io::Result<()> {
        let count = self.core.epoll.poll(&mut self.events, sleep)?;
        self.core.clock.update();
        self.core.ready.begin_turn();
        for accepts in [true, false] {
            for index in 0..count {
                let event = self.events.at(index);
                if let Some(event) = event.filter(|event| is_listener(*event) == accepts) {
                    self.event(event);
                }
            }
        }
        while let Some(work) = self.core.next_due() {
            self.dispatch(work);
        }
        for _ in 0..WORK_MAX {
            let Some(work) = self.core.ready.pop() else {
                break;
            };
            self.dispatch(work);
        }
        Ok(())
    }

    fn event(&mut self, event: Event) {
        match event.token >> 60 {
            0xf => self.on_waker(),
            0xe => {
                let number = usize::try_from(event.token & !LISTENER);
                self.accept(number.unwrap_or(usize::MAX));
            }
            _ => {
                let id = Id::from_raw(event.token);
                self.dispatch(Work::Object(id, Cause::Ready(event)));
            }
        }
    }

    /// Hands out work. The one place that checks whether the instance of the target is paused.
    pub(super) fn dispatch(&mut self, work: Work) {
        let work = match work {
            Work::Open(accepted) => Work::Open(self.with_current_service(accepted)),
            work => work,
        };
        let Some(work) = self.core.pass(work) else {
            return;
        };
        match work {
            Work::Object(id, Cause::Requeue) => self.requeue_drain(id),
            Work::Object(id, Cause::Place) => {
                let drains = self.reload.place(&self.core, id);
                if let Some(stream) = drains.and_then(|id| self.core.table.stream(id)) {
                    stream.object.set(Flag::DRAIN_QUEUED);
                    self.core.queue(id, Cause::Drain(0));
                }
            }
            Work::Object(id, cause) => match id.kind() {
                Some(Kind::Stream) => self.streams.on(&self.core, id, cause),
                Some(Kind::Socket) => self.datagrams.on_socket(&self.core, id, cause),
                Some(Kind::Flow) => self.datagrams.on_flow(&self.core, id, cause),
                _ => {}
            },
            Work::Accept(number) => self.accept(number),
            Work::Listen(number) => self.acceptors.listen_again(&self.core, number),
            Work::Open(accepted) => {
                if let Some(id) = self.open(*accepted) {
                    self.core.queue(id, Cause::Place);
                }
            }
            Work::Dial(pending) => self.dial(*pending),
            Work::DialFailed(failed) => self.dial_failed(&failed),
            Work::Pace => self.pacer.due(&self.core),
            Work::Reload => self.go_on_with_snapshot(),
        }
    }

    /// Accepts from a listener, each connection up to its first callback before the next.
    fn accept(&mut self, number: usize) {
        if !self.acceptors.begin(number) {
            return;
        }
        for _ in 0..ACCEPTS {
            let Some(accepted) = self.acceptors.accept(&self.core, number) else {
                return;
            };
            // A listener of a paused instance is not watched, so the connection need not pass.
            self.open(accepted);
        }
        self.acceptors.go_on(&self.core, number);
    }

    fn open(&mut self, accepted: Accepted) -> Option<Id> {
        if self.core.pause.is_fenced(&accepted.service.instance) {
            tracing::warn!(
                service = accepted.service.name,
                address = accepted.listener.address,
                peer = ?accepted.peer,
                "a connection that waited is closed: its service and its code are gone"
            );
            self.core.give_back(accepted.permit);
            return None;
        }
        self.streams.open(&self.core, accepted)
    }

    /// Gives a connection that waited the service that this worker knows now: that of its listener, or else that of the
    /// same name. Another worker may have accepted it, and may not have come as far.
    fn with_current_service(&self, mut accepted: Box<Accepted>) -> Box<Accepted> {
        let known = self.acceptors.service_of(&accepted.listener);
        let known = known.or_else(|| self.reload.service(&accepted.service.name).cloned());
        if let Some(service) = known {
            accepted.service = service;
        }
        accepted
    }

    fn dial(&mut self, pending: PendingDial) {
        match pending.dial.target {
            DialTarget::Stream(_) | DialTarget::Unix(_) => self.streams.dial(&self.core, pending),
            DialTarget::Datagram(_) | DialTarget::Unixgram(_) => {
                self.datagrams.dial(&self.core, pending);
            }
        }
    }

    /// Begins a dial of an instance.
    pub(super) fn dial_for_instance(&mut self, service: Arc<Service>, dial: Dial) {
        if self.core.pause.is_fenced(&service.instance) {
            return;
        }
        let dialled = DialOrigin {
            parent: service.instance.id(),
            tag: dial.tag,
        };
        let hook_thread = Arc::clone(&service.hook_thread);
        if let Err(refuse) = begin(&self.core, None, service, dialled, dial) {
            hook_thread.dial_failed(dialled.tag, refused(refuse));
        }
    }

    fn dial_failed(&mut self, failed: &FailedDial) {
        let instance = &failed.service.instance;
        if !self.core.pause.is_fenced(instance) {
            let parent = failed.dialled.parent;
            if let Some(stream) = self.core.table.stream(parent) {
                self.streams.dial_failed(&self.core, &stream, failed);
            } else if parent == instance.id() {
                let tag = failed.dialled.tag;
                failed.service.hook_thread.dial_failed(tag, failed.why);
            } else {
                dial_failed(&self.core, failed);
            }
        }
        end_failed(&self.core, failed);
    }

    /// Paces the drain of a stream anew that came up while the instance was paused.
    fn requeue_drain(&mut self, id: Id) {
        let Some(stream) = self.core.table.stream(id) else {
            return;
        };
        if stream.object.take(Flag::DRAIN_QUEUED) {
            self.pacer.queue(&stream);
            let until = match stream.object.drain_until.get() {
                0 => self.core.drain_deadline(),
                until => until,
            };
            let left = until.saturating_sub(self.core.clock.now());
            self.pacer.hasten(&self.core, left);
        }
    }

    /// The mailbox has something: room, commands, wakes.
    fn on_waker(&mut self) {
        self.core.mailbox.waker().clear();
        if self.core.mailbox.take_room() {
            self.acceptors.room(&self.core);
        }
        self.carry_out_commands();
        let mut woken = std::mem::take(&mut self.woken);
        self.core.ids.take_woken(&mut woken);
        for (id, bits) in woken.drain(..) {
            self.dispatch(Work::Object(id, Cause::Wake(bits)));
        }
        self.woken = woken;
    }

    /// Carries out queued commands, in order; while a snapshot is being applied, they wait.
    pub(super) fn carry_out_commands(&mut self) {
        while !self.reload.is_running()
            && let Some(command) = self.core.mailbox.take()
        {
            match command {
                Command::Snapshot(snapshot, token) => self.apply_snapshot(&snapshot, token),
                Command::Pause(instances, _token) => {
                    self.core.pause.pause(&instances);
                    self.acceptors.review(&self.core);
                }
                Command::Resume(instances, _token) => {
                    self.core.pause.unpause(&instances);
                    self.resume();
                }
                Command::Standby(standby, _token) => self.set_standby(&standby),
                Command::Adopt(accepted) => self.dispatch(Work::Open(accepted)),
                Command::Dial(service, dial) => self.dial_for_instance(service, dial),
                Command::Phase(phase) => self.enter_phase(phase),
            }
        }
    }
}

fn is_listener(event: Event) -> bool {
    event.token >> 60 == LISTENER >> 60
}
