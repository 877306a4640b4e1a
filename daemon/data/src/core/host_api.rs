//! The host functions that a handler may call in the middle of a callback. What they may act on: the object whose
//! callback runs, and its group.

use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::host_api::{CloseHow, Dial, HostApi, Level, OutgoingList};
use polyport_host::id::{Id, Kind};
use polyport_host::status::HostError;
use polyport_host::stream::DialOrigin;
use polyport_sys::PeerAddress;

use super::output::{flush_soon, take_output};
use super::{Cause, Core, Effect, Work, dial, waiting_output};
use crate::object::{Entity, Flag, Object, Stream};
use crate::reason::Reason;
use crate::reply::OUTPUT_MAX;

impl Core {
    /// The object that an id names, if the caller may act on it: on itself, or on one of its group.
    fn resolve(&self, caller: Id, id: Id) -> Result<Entity, HostError> {
        if self.call.is_detached(caller) {
            return Err(HostError::Gone);
        }
        let found = self.table.get(id).ok_or(HostError::Gone)?;
        if caller == id {
            return Ok(found);
        }
        if matches!(&found, Entity::Stream(stream) if stream.object.has(Flag::ENDED)) {
            return Err(HostError::Gone);
        }
        let caller = self.table.get(caller).ok_or(HostError::Gone)?;
        if root_of(&caller) == root_of(&found) {
            Ok(found)
        } else {
            Err(HostError::Gone)
        }
    }

    fn resolve_stream(&self, caller: Id, id: Id) -> Result<Rc<Stream>, HostError> {
        let stream = if caller == id && !self.call.is_detached(caller) {
            self.table.stream(id).ok_or(HostError::Gone)?
        } else {
            match self.resolve(caller, id)? {
                Entity::Stream(stream) => stream,
                Entity::Socket(_) | Entity::Flow(_) => return Err(HostError::Gone),
            }
        };
        if stream.object.has(Flag::CONNECTING) {
            Err(HostError::Gone)
        } else {
            Ok(stream)
        }
    }

    /// A stream that takes `len` more bytes of output.
    fn resolve_writable(&self, caller: Id, id: Id, len: usize) -> Result<Rc<Stream>, HostError> {
        const ENDS: Flag = Flag::ENDED.or(Flag::BROKEN).or(Flag::FIN_WANTED);
        let stream = self.resolve_stream(caller, id)?;
        if stream.object.has(ENDS) || stream.is_ending() {
            return Err(HostError::Closing);
        }
        if len > OUTPUT_MAX {
            return Err(HostError::Invalid);
        }
        let staged = self.call.is_staged(caller);
        let mut waiting = waiting_output(self, &stream);
        if staged {
            waiting = waiting.saturating_add(self.call.recorded_output(id)?);
        }
        if waiting != 0 && waiting.saturating_add(len) > OUTPUT_MAX {
            if staged {
                self.call.record(Effect::OweWritable(id))?;
            } else {
                stream.object.set(Flag::WRITABLE_OWED);
            }
            return Err(HostError::Full);
        }
        Ok(stream)
    }

    /// Applies the effects of an import, now that the object is the new instance's.
    pub(crate) fn apply(&self, caller: Id, effects: Vec<Effect>) {
        for effect in effects {
            if let Err(refuse) = self.apply_one(caller, effect) {
                tracing::debug!(about = %caller, ?refuse, "a wish of an import came to nothing");
            }
        }
    }

    fn apply_one(&self, caller: Id, effect: Effect) -> Result<(), HostError> {
        match effect {
            Effect::Write(id, bytes) => self
                .write(caller, id, &[IoSlice::new(&bytes)], false)
                .map(drop),
            Effect::Fin(id) => self.write(caller, id, &[], true).map(drop),
            Effect::Reads(id, on) => self.set_reads(caller, id, on),
            Effect::Watermarks(id, low, high) => self.set_watermarks(caller, id, low, high),
            Effect::Close(id, how, why) => self.close(caller, id, how, &why),
            Effect::SetTimer(owner, key, after, period) => {
                self.timer_set(caller, owner, key, after, period)
            }
            Effect::CancelTimer(owner, key) => self.timer_cancel(caller, owner, key),
            Effect::Dial(owner, dial) => self.apply_dial(caller, owner, dial),
            Effect::OweWritable(id) => {
                if let Some(entity) = self.table.get(id) {
                    entity.object().set(Flag::WRITABLE_OWED);
                    if matches!(entity, Entity::Socket(_)) {
                        self.queue(id, Cause::Writable);
                    }
                }
                Ok(())
            }
        }
    }

    /// The import was answered that the dial is under way, so a refusal comes as a failed dial.
    fn apply_dial(&self, caller: Id, owner: Id, wanted: Dial) -> Result<(), HostError> {
        let dialled = DialOrigin {
            parent: owner,
            tag: wanted.tag,
        };
        let begun = self.dial(caller, owner, wanted);
        if let Err(refuse) = begun
            && let Some(owner) = self.table.get(owner)
        {
            let service = Arc::clone(&owner.object().service());
            dial::fail_late(self, service, dialled, dial::refused(refuse));
        }
        begun
    }

    fn set_timer(
        &self,
        object: &Object,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError> {
        let mut timers = object.timers.borrow_mut();
        if let Some(entry) = timers.remove(key) {
            self.cancel(entry);
        }
        if !timers.has_room(1) {
            return Err(HostError::Full);
        }
        let setting = self.call.next_setting();
        let entry = self.after(after, Work::Object(object.id, Cause::Timer(key, setting)));
        timers.insert(key, setting, entry, period);
        Ok(())
    }
}

/// The root of the group of an object; itself, when it has none. A flow is of the group of its socket.
fn root_of(entity: &Entity) -> Id {
    let of = |object: &Object| {
        let group = object.group.borrow();
        group.as_ref().map_or(object.id, |group| group.root)
    };
    match entity {
        Entity::Flow(flow) => of(&flow.socket().object),
        Entity::Stream(_) | Entity::Socket(_) => of(entity.object()),
    }
}

fn unix_name(peer: &PeerAddress) -> Result<Vec<u8>, HostError> {
    match peer {
        PeerAddress::Unix(Some(name)) => Ok(name.clone()),
        PeerAddress::Unix(None) | PeerAddress::Ip(_) => Err(HostError::Denied),
    }
}

impl HostApi for Core {
    fn now(&self) -> u64 {
        self.clock.now()
    }

    fn write(
        &self,
        caller: Id,
        stream: Id,
        pieces: &[IoSlice<'_>],
        fin: bool,
    ) -> Result<Level, HostError> {
        let len: usize = pieces.iter().map(|piece| piece.len()).sum();
        let stream = self.resolve_writable(caller, stream, len)?;
        let mut waiting = 0;
        if self.call.is_staged(caller) {
            let id = stream.object.id;
            waiting = self.call.recorded_output(id)? + len;
            self.call.record_output(id, pieces, fin)?;
        } else {
            if len != 0 {
                take_output(self, &stream, pieces, len);
            }
            if fin {
                stream.object.set(Flag::FIN_WANTED);
                if caller != stream.object.id {
                    flush_soon(self, &stream);
                }
            }
        }
        waiting += waiting_output(self, &stream);
        if waiting <= stream.output.high() {
            return Ok(Level::Below);
        }
        if self.call.is_staged(caller) {
            // Also if the socket takes at once what is written then.
            self.call.record(Effect::OweWritable(stream.object.id))?;
        } else {
            stream.object.set(Flag::WRITABLE_OWED);
        }
        Ok(Level::AboveHigh)
    }

    fn room(&self, caller: Id, stream: Id, len: usize) -> Result<(), HostError> {
        self.resolve_writable(caller, stream, len).map(drop)
    }

    fn set_reads(&self, caller: Id, stream: Id, on: bool) -> Result<(), HostError> {
        let stream = self.resolve_stream(caller, stream)?;
        let object = &stream.object;
        if self.call.is_staged(caller) {
            return self.call.record(Effect::Reads(object.id, on));
        }
        if !on {
            object.set(Flag::PAUSED_BY_HANDLER);
        } else if object.take(Flag::PAUSED_BY_HANDLER) {
            stream.redeliver();
            self.go_on(object);
        }
        Ok(())
    }

    fn set_watermarks(
        &self,
        caller: Id,
        stream: Id,
        low: usize,
        high: usize,
    ) -> Result<(), HostError> {
        let stream = self.resolve_stream(caller, stream)?;
        if low > high || high == 0 {
            return Err(HostError::Invalid);
        }
        if self.call.is_staged(caller) {
            let effect = Effect::Watermarks(stream.object.id, low, high);
            return self.call.record(effect);
        }
        stream.output.set_watermarks(low, high);
        Ok(())
    }

    fn close(&self, caller: Id, id: Id, how: CloseHow, why: &str) -> Result<(), HostError> {
        let entity = self.resolve(caller, id)?;
        match &entity {
            Entity::Stream(stream) if stream.object.has(Flag::CONNECTING) => {
                return Err(HostError::Gone);
            }
            Entity::Socket(socket) if socket.object.dialled.is_none() && !socket.is_draining() => {
                return Err(HostError::Denied);
            }
            _ => {}
        }
        if self.call.is_staged(caller) {
            return self.call.record(Effect::Close(id, how, why.to_owned()));
        }
        match &entity {
            Entity::Stream(stream) => {
                if how == CloseHow::Reset {
                    stream.transport.reset_on_close();
                    // A reset needs no lingering close.
                    stream.object.set(Flag::PEER_FIN);
                }
                let why = (!why.is_empty()).then(|| why.into());
                stream.end(Reason::Handler, how == CloseHow::Flush, why);
                if caller != id {
                    flush_soon(self, stream);
                }
            }
            Entity::Socket(_) | Entity::Flow(_) => {
                if entity.object().mark(Flag::SUPPRESSED) {
                    self.queue(id, Cause::Close(Reason::Handler));
                }
            }
        }
        Ok(())
    }

    fn attribute(&self, caller: Id, id: Id, key: &str) -> Result<Vec<u8>, HostError> {
        if id.kind() == Some(Kind::Peer) {
            let peers = self.call.peers.borrow();
            let peer = peers.address(id).ok_or(HostError::Gone)?;
            return match key {
                "unix.path" => unix_name(peer),
                _ => Err(HostError::Unsupported),
            };
        }
        let entity = self.resolve(caller, id)?;
        let peer = match &entity {
            Entity::Stream(stream) => Some(&stream.peer),
            Entity::Socket(socket) => socket.remote.as_ref(),
            Entity::Flow(flow) => Some(&flow.remote),
        };
        match key {
            "service" => Ok(entity.object().service().name.clone().into_bytes()),
            "listener" => Ok(entity.object().listener.as_bytes().to_vec()),
            "unix.path" => peer.map_or(Err(HostError::Denied), unix_name),
            _ => Err(HostError::Unsupported),
        }
    }

    fn timer_set(
        &self,
        caller: Id,
        owner: Id,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError> {
        let entity = self.resolve(caller, owner)?;
        let object = entity.object();
        if object.has(Flag::ENDED) && !matches!(entity, Entity::Socket(_)) {
            return Err(HostError::Closing);
        }
        if self.call.is_staged(caller) {
            let recorded = self.call.recorded_timers(owner) + 1;
            if !object.timers.borrow().has_room(recorded) {
                return Err(HostError::Full);
            }
            return self
                .call
                .record(Effect::SetTimer(owner, key, after, period));
        }
        self.set_timer(object, key, after, period)
    }

    fn timer_cancel(&self, caller: Id, owner: Id, key: u32) -> Result<(), HostError> {
        let entity = self.resolve(caller, owner)?;
        if self.call.is_staged(caller) {
            return self.call.record(Effect::CancelTimer(owner, key));
        }
        let entry = entity.object().timers.borrow_mut().remove(key);
        if let Some(entry) = entry {
            self.cancel(entry);
        }
        Ok(())
    }

    fn dial(&self, caller: Id, owner: Id, wanted: Dial) -> Result<(), HostError> {
        let entity = self.resolve(caller, owner)?;
        if self.call.is_staged(caller) {
            return self.call.record(Effect::Dial(owner, wanted));
        }
        let service = Arc::clone(&entity.object().service());
        let dialled = DialOrigin {
            parent: owner,
            tag: wanted.tag,
        };
        dial::begin(self, Some(&entity), service, dialled, wanted)
    }

    fn send_datagrams(
        &self,
        caller: Id,
        socket: Id,
        list: &dyn OutgoingList,
    ) -> Result<usize, HostError> {
        match self.resolve(caller, socket)? {
            // An import is answered that the socket has no room; `on_writable` follows.
            Entity::Socket(_) if self.call.is_staged(caller) => {
                self.call.record(Effect::OweWritable(socket)).map(|()| 0)
            }
            Entity::Socket(socket) => super::send::send(self, &socket, list),
            Entity::Stream(_) | Entity::Flow(_) => Err(HostError::Gone),
        }
    }
}
