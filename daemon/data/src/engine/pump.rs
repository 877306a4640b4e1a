//! The steady state of a stream: read, show the handler, send what it wrote, decide what follows.

use std::rc::Rc;

use polyport_host::callbacks::Notice;
use polyport_host::status::CallbackError;
use polyport_host::stream::DataError;
use polyport_sys::PeerAddress;
use polyport_sys::epoll::Event;
use std::io::ErrorKind;

use super::Engine;
use super::stream::{Flag, INPUT_MAX, Stream};
use crate::shut::Reason;

/// Reads of one stream in one event, so that a fast peer does not hold up the others.
const READS: usize = 4;
/// `on_writable` calls of one stream in one event.
const WRITABLES: usize = 8;

impl Engine {
    pub(super) fn stream_event(&self, stream: &Rc<Stream>, event: Event) {
        if stream.has(Flag::ENDED) {
            return self.take_leave(stream);
        }
        if stream.has(Flag::CONNECTING) {
            return self.connected(stream, event);
        }
        stream.heard(event);
        self.serve(stream, |_| ());
    }

    /// Does something with a stream, then all that follows from it: reads, output, relatives, end. Whatever calls
    /// a handler about a stream does it in here.
    pub(super) fn serve(&self, stream: &Rc<Stream>, first: impl FnOnce(&Rc<Stream>)) {
        self.out_of.set(stream.id);
        first(stream);
        self.read(stream);
        self.settle(stream);
        self.out_of.set(super::Id::NONE);
        loop {
            let relative = self.touched.borrow_mut().pop();
            let Some(relative) = relative else { break };
            relative.clear(Flag::TOUCHED);
            self.out_of.set(relative.id);
            self.settle(&relative);
            self.out_of.set(super::Id::NONE);
        }
    }

    fn read(&self, stream: &Rc<Stream>) {
        if stream.has(Flag::SHOW_KEPT) && stream.shows() {
            stream.clear(Flag::SHOW_KEPT);
            self.show(stream, &[]);
        }
        let mut reads = 0;
        while stream.reads() {
            if reads == READS {
                return self.again(stream);
            }
            reads += 1;
            self.read_once(stream);
        }
    }

    fn read_once(&self, stream: &Rc<Stream>) {
        let mut scratch = self.scratch.borrow_mut();
        match stream.socket.read(&mut scratch) {
            Ok(0) => {
                stream.set(Flag::PEER_FIN);
                stream.clear(Flag::READABLE);
                self.show(stream, &[]);
            }
            Ok(count) => {
                // A short read has emptied a TCP socket, and the next byte gives an event. Not so with urgent data,
                // which announces itself, and on Unix sockets, where descriptors split what is read.
                let splits = matches!(stream.peer, PeerAddress::Unix(_));
                if count < scratch.len() && !splits && !stream.has(Flag::END_ANNOUNCED) {
                    stream.clear(Flag::READABLE);
                }
                stream.bytes_in.set(stream.bytes_in.get() + count as u64);
                stream.last_io.set(self.clock.now());
                self.show(stream, scratch.get(..count).unwrap_or_default());
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => stream.clear(Flag::READABLE),
                ErrorKind::Interrupted => {}
                _ => self.broken(stream, &error),
            },
        }
    }

    /// Shows the handler what was kept and what is new, and keeps what it does not use up.
    fn show(&self, stream: &Rc<Stream>, new: &[u8]) {
        let mut kept = stream.kept.take();
        if kept.is_empty() {
            let used = self.deliver(stream, new);
            kept.extend_from_slice(new.get(used..).unwrap_or_default());
        } else {
            kept.extend_from_slice(new);
            let used = self.deliver(stream, &kept);
            if used == kept.len() {
                kept = Vec::new();
            } else {
                kept.drain(..used);
            }
        }
        let waits_for_more = stream.shows() && kept.len().max(stream.want.get()) > INPUT_MAX;
        if waits_for_more && !stream.has(Flag::PEER_FIN) {
            stream.end(Reason::TooLarge, true, None);
        }
        stream.kept.replace(kept);
    }

    /// Calls `on_data` until the bytes are used up or the handler wants no more now; returns how many were used.
    fn deliver(&self, stream: &Rc<Stream>, bytes: &[u8]) -> usize {
        let service = stream.service();
        let instance = &service.instance;
        let mut at = 0;
        while stream.shows() {
            let rest = bytes.get(at..).unwrap_or_default();
            let fin = stream.has(Flag::PEER_FIN) && !stream.has(Flag::FIN_SHOWN);
            let enough = !rest.is_empty() && rest.len() >= stream.want.get();
            if !enough && !fin {
                break;
            }
            stream.want.set(1);
            let taken = match instance.data(stream.id, stream.state.get(), rest, fin) {
                Ok(taken) => taken,
                Err(fault) => {
                    self.data_fault(stream, fault);
                    break;
                }
            };
            at += taken.used;
            stream.want.set(taken.want);
            if fin && taken.used == rest.len() {
                stream.set(Flag::FIN_SHOWN);
                if instance.ignores_data() {
                    stream.end(Reason::Done, true, None);
                }
            } else if fin && taken.used == 0 && stream.shows() {
                stream.end(Reason::Partial, true, None);
            }
            self.check_output(stream);
            if taken.used == 0 {
                break;
            }
        }
        at
    }

    fn data_fault(&self, stream: &Rc<Stream>, fault: DataError) {
        self.fault(stream, "on_data", &fault.to_string());
    }

    /// A callback failed: the stream ends, and the plugin is named.
    pub(super) fn fault(&self, stream: &Rc<Stream>, callback: &str, reason: &str) {
        let service = stream.service();
        let name = service.instance.name();
        tracing::warn!(
            plugin = name.plugin,
            instance = name.instance,
            generation = name.generation,
            callback,
            stream = %stream.id,
            reason,
            "callback failed, stream closed"
        );
        stream.end(Reason::PluginFault, false, Some(reason.into()));
    }

    /// Looks at what a callback without a result said.
    pub(super) fn told(
        &self,
        stream: &Rc<Stream>,
        callback: &str,
        said: Result<(), CallbackError>,
    ) {
        if let Err(error) = said {
            self.fault(stream, callback, &error.to_string());
        }
    }

    /// Puts the stream on the list of what the next turn goes on with.
    pub(super) fn again(&self, stream: &Rc<Stream>) {
        if stream.mark(Flag::AGAIN) {
            self.again.borrow_mut().push_back(stream.id);
        }
    }

    /// Sends what there is, tells the handler when there is room, and ends the stream if it is time.
    fn settle(&self, stream: &Rc<Stream>) {
        if stream.has(Flag::ENDED) || stream.has(Flag::CONNECTING) {
            return;
        }
        if stream
            .ending
            .borrow()
            .as_ref()
            .is_some_and(|ending| !ending.flush)
        {
            // What was written before such an end is not wanted any more.
            self.drop_output(stream);
        }
        let mut calls = 0;
        loop {
            self.flush(stream);
            self.check_output(stream);
            let owed = stream.has(Flag::WRITABLE_OWED) && stream.ending.borrow().is_none();
            if !owed || self.output_of(stream) > stream.low.get() as usize {
                break;
            }
            if calls == WRITABLES {
                self.again(stream);
                break;
            }
            calls += 1;
            stream.clear(Flag::WRITABLE_OWED);
            let said =
                stream
                    .service()
                    .instance
                    .notify(stream.id, stream.state.get(), Notice::Writable);
            self.told(stream, "on_writable", said);
        }
        if stream.reads() || stream.has(Flag::SHOW_KEPT) && stream.shows() {
            self.again(stream);
        }
        self.conclude(stream);
    }

    /// Pauses reads above high, and lets them go on at low.
    pub(super) fn check_output(&self, stream: &Rc<Stream>) {
        let waiting = self.output_of(stream);
        if waiting > stream.high.get() as usize {
            let manual =
                stream.service().instance.handler().flags & polyport_abi::PP_HF_MANUAL_FLOW;
            if manual == 0 {
                stream.set(Flag::PAUSED_BY_OUTPUT);
            }
        } else if waiting <= stream.low.get() as usize && stream.has(Flag::PAUSED_BY_OUTPUT) {
            stream.clear(Flag::PAUSED_BY_OUTPUT);
            self.show_kept_again(stream);
        }
    }

    /// Reads are allowed again: what was kept is shown without new input.
    pub(super) fn show_kept_again(&self, stream: &Rc<Stream>) {
        let unseen = stream.has(Flag::PEER_FIN) && !stream.has(Flag::FIN_SHOWN);
        if unseen || !stream.kept.borrow().is_empty() {
            stream.set(Flag::SHOW_KEPT);
        }
    }

    pub(super) fn stream_woken(&self, stream: &Rc<Stream>, bits: u64) {
        let deaf = stream.has(Flag::ENDED) || stream.has(Flag::CONNECTING);
        if deaf || self.is_frozen(&stream.service().instance) {
            return;
        }
        self.serve(stream, |stream| {
            let said =
                stream
                    .service()
                    .instance
                    .notify(stream.id, stream.state.get(), Notice::Wake(bits));
            self.told(stream, "on_wake", said);
        });
    }

    pub(super) fn stream_timer(&self, stream: &Rc<Stream>, key: u32) {
        let wanted = stream
            .timers
            .borrow_mut()
            .fired(&self.timers, stream.id, key);
        if !wanted || stream.has(Flag::ENDED) {
            return;
        }
        self.serve(stream, |stream| {
            let said =
                stream
                    .service()
                    .instance
                    .notify(stream.id, stream.state.get(), Notice::Timer(key));
            self.told(stream, "on_timer", said);
        });
    }
}
