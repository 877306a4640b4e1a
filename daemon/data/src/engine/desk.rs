//! The engine's desk: what it answers when a handler asks in the middle of a callback.

use std::io::IoSlice;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::host_api::{CloseHow, Dial, HostApi, Level, OutgoingList};
use polyport_host::id::{Id, Kind};
use polyport_host::status::HostError;
use polyport_sys::PeerAddress;

use super::Engine;
use super::dial::Later;
use super::stream::{Flag, OUTPUT_MAX, Stream};
use super::table::Entity;
use super::trial::Wish;
use crate::shut::Reason;

/// The most that watermarks can be set to, bytes: room for one more write is left below the hard bound.
const HIGH_MAX: usize = OUTPUT_MAX / 2;

impl Engine {
    /// What an id names, if the caller may speak for it: itself, or one of its family.
    fn relative(&self, caller: Id, id: Id) -> Result<Entity, HostError> {
        if caller == self.departed.get() {
            return Err(HostError::Gone);
        }
        let found = self.table.get(id).ok_or(HostError::Gone)?;
        if caller == id {
            return Ok(found);
        }
        if matches!(&found, Entity::Stream(stream) if stream.has(Flag::ENDED)) {
            return Err(HostError::Gone);
        }
        let caller = self.table.get(caller).ok_or(HostError::Gone)?;
        if family(&caller) == family(&found) {
            Ok(found)
        } else {
            Err(HostError::Gone)
        }
    }

    fn relative_stream(&self, caller: Id, id: Id) -> Result<Rc<Stream>, HostError> {
        let stream = if caller == id && caller != self.departed.get() {
            self.table.stream(id).ok_or(HostError::Gone)?
        } else {
            match self.relative(caller, id)? {
                Entity::Stream(stream) => stream,
                Entity::Socket(_) | Entity::Flow(_) => return Err(HostError::Gone),
            }
        };
        if stream.has(Flag::CONNECTING) {
            Err(HostError::Gone)
        } else {
            Ok(stream)
        }
    }

    /// A stream that takes `len` more bytes of output.
    fn writable(&self, caller: Id, id: Id, len: usize) -> Result<Rc<Stream>, HostError> {
        let stream = self.relative_stream(caller, id)?;
        let ends =
            stream.has(Flag::ENDED) || stream.has(Flag::BROKEN) || stream.has(Flag::FIN_WANTED);
        if ends || stream.ending.borrow().is_some() {
            return Err(HostError::Closing);
        }
        if len > OUTPUT_MAX {
            return Err(HostError::Invalid);
        }
        let tried = self.is_tried(caller);
        let mut waiting = self.output_of(&stream);
        if tried {
            waiting = waiting.saturating_add(self.wished_output(id)?);
        }
        if waiting != 0 && waiting.saturating_add(len) > OUTPUT_MAX {
            if tried {
                self.wish(Wish::Writable(id))?;
            } else {
                stream.set(Flag::WRITABLE_OWED);
            }
            return Err(HostError::Full);
        }
        Ok(stream)
    }

    /// Relatives that a callback wrote to outside of a stream's event, as from a socket's callback.
    pub(super) fn after_callback(&self) {
        loop {
            let relative = self.touched.borrow_mut().pop();
            let Some(relative) = relative else { return };
            relative.clear(Flag::TOUCHED);
            if !self.aside_again(relative.id) {
                self.serve(&relative, |_| ());
            }
        }
    }
}

fn family(entity: &Entity) -> Id {
    match entity {
        Entity::Stream(stream) => stream.family,
        Entity::Socket(socket) => socket.family,
        Entity::Flow(flow) => flow.socket().family,
    }
}

impl HostApi for Engine {
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
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let stream = self.writable(caller, stream, len)?;
        if self.is_tried(caller) {
            return self.wish_output(&stream, pieces, fin);
        }
        if len != 0 {
            self.take_output(&stream, pieces, len);
        }
        if fin {
            stream.set(Flag::FIN_WANTED);
            if caller != stream.id && stream.mark(Flag::TOUCHED) {
                self.touched.borrow_mut().push(Rc::clone(&stream));
            }
        }
        if self.output_of(&stream) > stream.high.get() as usize {
            stream.set(Flag::WRITABLE_OWED);
            Ok(Level::AboveHigh)
        } else {
            Ok(Level::Below)
        }
    }

    fn room(&self, caller: Id, stream: Id, len: usize) -> Result<(), HostError> {
        self.writable(caller, stream, len).map(drop)
    }

    fn set_reads(&self, caller: Id, stream: Id, on: bool) -> Result<(), HostError> {
        let stream = self.relative_stream(caller, stream)?;
        if self.is_tried(caller) {
            return self.wish(Wish::Reads(stream.id, on));
        }
        if !on {
            stream.set(Flag::PAUSED_BY_HANDLER);
        } else if stream.has(Flag::PAUSED_BY_HANDLER) {
            stream.clear(Flag::PAUSED_BY_HANDLER);
            self.show_kept_again(&stream);
            self.again(&stream);
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
        let stream = self.relative_stream(caller, stream)?;
        if low > high || high == 0 {
            return Err(HostError::Invalid);
        }
        if self.is_tried(caller) {
            return self.wish(Wish::Watermarks(stream.id, low, high));
        }
        let clamp = |bytes: usize| u32::try_from(bytes.min(HIGH_MAX)).unwrap_or(u32::MAX);
        stream.low.set(clamp(low));
        stream.high.set(clamp(high));
        Ok(())
    }

    fn close(&self, caller: Id, id: Id, how: CloseHow, why: &str) -> Result<(), HostError> {
        let entity = self.relative(caller, id)?;
        match &entity {
            Entity::Stream(stream) if stream.has(Flag::CONNECTING) => return Err(HostError::Gone),
            Entity::Socket(socket) if socket.dialled.is_none() && !socket.is_draining() => {
                return Err(HostError::Denied);
            }
            _ => {}
        }
        if self.is_tried(caller) {
            return self.wish(Wish::Close(id, how, why.to_owned()));
        }
        let why = (!why.is_empty()).then(|| why.into());
        match entity {
            Entity::Stream(stream) => {
                if how == CloseHow::Reset {
                    stream.socket.reset_on_close();
                    // A hard end takes no leave.
                    stream.set(Flag::PEER_FIN);
                }
                stream.end(Reason::Handler, how == CloseHow::Flush, why);
                if caller != id && stream.mark(Flag::TOUCHED) {
                    self.touched.borrow_mut().push(stream);
                }
            }
            Entity::Socket(socket) => {
                if !socket.silent.replace(true) {
                    self.later(Later::Close(id));
                }
            }
            Entity::Flow(flow) => {
                if !flow.silent.replace(true) {
                    self.later(Later::Close(id));
                }
            }
        }
        Ok(())
    }

    fn attribute(&self, caller: Id, id: Id, key: &str) -> Result<Vec<u8>, HostError> {
        let unix = |peer: &PeerAddress| match peer {
            PeerAddress::Unix(Some(name)) => Ok(name.clone()),
            PeerAddress::Unix(None) | PeerAddress::Ip(_) => Err(HostError::Denied),
        };
        if id.kind() == Some(Kind::Peer) {
            let senders = self.senders.borrow();
            let (peer, _) = senders.named(id).ok_or(HostError::Gone)?;
            return if key == "unix.path" {
                unix(peer)
            } else {
                Err(HostError::Unsupported)
            };
        }
        let entity = self.relative(caller, id)?;
        let (service, listener, peer) = match &entity {
            Entity::Stream(stream) => (
                stream.service(),
                Arc::clone(&stream.listener),
                Some(&stream.peer),
            ),
            Entity::Socket(socket) => (
                socket.service(),
                Arc::clone(&socket.listener),
                socket.remote.as_ref(),
            ),
            Entity::Flow(flow) => (
                flow.service(),
                Arc::clone(&flow.socket().listener),
                Some(&flow.remote),
            ),
        };
        match key {
            "service" => Ok(service.name.clone().into_bytes()),
            "listener" => Ok(listener.as_bytes().to_vec()),
            "unix.path" => peer.map_or(Err(HostError::Denied), unix),
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
        let entity = self.relative(caller, owner)?;
        match &entity {
            Entity::Stream(stream) if stream.has(Flag::ENDED) => return Err(HostError::Closing),
            Entity::Flow(flow) if flow.ended.get() => return Err(HostError::Closing),
            _ => {}
        }
        if self.is_tried(caller) {
            let noted = self.wished_timers(owner) + 1;
            if !entity.timers().borrow().have_room(noted) {
                return Err(HostError::Full);
            }
            return self.wish(Wish::SetTimer(owner, key, after, period));
        }
        entity
            .timers()
            .borrow_mut()
            .set(&self.timers, owner, key, after, period)
    }

    fn timer_cancel(&self, caller: Id, owner: Id, key: u32) -> Result<(), HostError> {
        let entity = self.relative(caller, owner)?;
        if self.is_tried(caller) {
            return self.wish(Wish::CancelTimer(owner, key));
        }
        entity.timers().borrow_mut().cancel(&self.timers, key);
        Ok(())
    }

    fn dial(&self, caller: Id, owner: Id, dial: Dial) -> Result<(), HostError> {
        let entity = self.relative(caller, owner)?;
        if self.is_tried(caller) {
            return self.wish(Wish::Dial(owner, dial));
        }
        self.dial_for(&entity, dial)
    }

    fn send_datagrams(
        &self,
        caller: Id,
        socket: Id,
        list: &dyn OutgoingList,
    ) -> Result<usize, HostError> {
        match self.relative(caller, socket)? {
            // The socket has no room for an import; `on_writable` says when it has.
            Entity::Socket(_) if self.is_tried(caller) => {
                self.wish(Wish::Writable(socket)).map(|()| 0)
            }
            Entity::Socket(socket) => self.send(&socket, list),
            Entity::Stream(_) | Entity::Flow(_) => Err(HostError::Gone),
        }
    }
}
