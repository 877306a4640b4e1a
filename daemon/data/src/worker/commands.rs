//! Commands of control that concern everything in a worker: snapshots, pauses, hand-over, shutdown.

use std::sync::Arc;
use std::time::Instant;

use polyport_common::shutdown::Phase;
use polyport_common::wait_group::Token;
use polyport_host::id::Id;

use super::Worker;
use crate::core::{Accepted, Cause, Standby, Work};
use crate::object::{Entity, Flag};
use crate::reason::Reason;
use crate::snapshot::Snapshot;

impl Worker {
    /// Begins to apply a snapshot. At a shutdown nothing begins any more.
    pub(super) fn apply_snapshot(&mut self, snapshot: &Arc<Snapshot>, token: Token) {
        if self.core.phase.get().is_some() {
            return;
        }
        self.reload.begin(&self.core, snapshot, token);
        let accepted = self.acceptors.apply(&self.core, &snapshot.listeners);
        self.open_later(accepted);
        for (listener, service) in self.reload.apply_to_sockets(&self.core) {
            self.datagrams.open(&self.core, &listener, &service);
        }
    }

    /// Goes on to apply a snapshot; afterwards with the commands that waited for it.
    pub(super) fn go_on_with_snapshot(&mut self) {
        let progress = self.reload.go_on(&self.core);
        for id in progress.drains {
            if let Some(stream) = self.core.table.stream(id) {
                self.pacer.queue(&stream);
            }
        }
        if let Some(grace) = progress.grace {
            self.pacer.pace(&self.core, grace);
        }
        if progress.is_done {
            self.acceptors.review(&self.core);
            self.carry_out_commands();
        }
    }

    /// Goes on with instances that are not paused any more.
    pub(super) fn resume(&mut self) {
        self.acceptors.review(&self.core);
        self.core.requeue_deferred();
    }

    /// Changes which process accepts and receives.
    pub(super) fn set_standby(&mut self, standby: &Standby) {
        match standby {
            Standby::Suspend => {
                self.core.standby.set(true);
                self.acceptors.review(&self.core);
            }
            Standby::Resume => {
                self.core.standby.set(false);
                self.resume();
            }
            Standby::HandOff { gone, until } => self.hand_off(gone, *until),
        }
    }

    /// Another process accepts and receives from now on. Streams and sockets of the instances in `gone` end, because their
    /// state is with the other process; other sockets drain, and other streams go on.
    fn hand_off(&mut self, gone: &Arc<[u32]>, until: Instant) {
        self.core.standby.set(true);
        // It keeps listeners open.
        self.reload.end();
        self.acceptors.close_all(&self.core);
        self.core.drop_deferred_connections(gone);
        let until = self.core.clock.nanos_of(until);
        for entity in self.core.table.iter() {
            let object = entity.object();
            let is_gone = gone.contains(&object.instance());
            match &entity {
                Entity::Stream(_) if is_gone => self.queue_close(object.id, Reason::Drain),
                Entity::Socket(_) if is_gone => self.queue_close(object.id, Reason::Drain),
                Entity::Socket(socket) if socket.port.listener().is_some() => {
                    let drain = Cause::Drain(until);
                    self.core.queue(object.id, drain);
                }
                _ => {}
            }
        }
        self.core.pause.unpause(gone);
        self.resume();
    }

    /// Enters a phase of the shutdown.
    pub(super) fn enter_phase(&mut self, phase: Phase) {
        self.core.pause.unpause_all();
        self.resume();
        // It keeps listeners open.
        self.reload.end();
        match phase {
            Phase::Drain { .. } => {
                if self.core.phase.get().is_some() {
                    return;
                }
                // Listeners first: connections that were accepted last are drained like all others.
                let accepted = self.acceptors.close_all(&self.core);
                self.open_later(accepted);
                self.core.phase.set(Some(phase));
                self.core.mailbox.notify_listeners_closed();
                self.drain_all();
            }
            Phase::Force => {
                let accepted = self.acceptors.close_all(&self.core);
                self.open_later(accepted);
                self.core.phase.set(Some(phase));
                self.pacer.clear();
                for entity in self.core.table.iter() {
                    if !matches!(entity, Entity::Flow(_)) {
                        self.queue_close(entity.object().id, Reason::Forced);
                    }
                }
            }
        }
    }

    fn drain_all(&mut self) {
        let deadline = self.core.drain_deadline();
        for entity in self.core.table.iter() {
            let object = entity.object();
            match &entity {
                Entity::Stream(_) if object.has(Flag::CONNECTING) => {
                    self.queue_close(object.id, Reason::Drain);
                }
                Entity::Stream(stream) => self.pacer.queue(stream),
                Entity::Socket(_) => {
                    let drain = Cause::Drain(deadline);
                    self.core.queue(object.id, drain);
                }
                Entity::Flow(_) => {}
            }
        }
        let grace = deadline.saturating_sub(self.core.clock.now());
        self.pacer.pace(&self.core, grace);
    }

    fn queue_close(&self, id: Id, reason: Reason) {
        self.core.queue(id, Cause::Close(reason));
    }

    /// Opens connections after what is queued.
    fn open_later(&self, accepted: Vec<Accepted>) {
        for one in accepted {
            self.core.ready.push(Work::Open(Box::new(one)));
        }
    }
}
