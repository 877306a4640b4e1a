//! Streams from their first byte to their end: read, deliver, send, decide what follows.

mod dial;
mod flow_control;
mod input;

use std::rc::Rc;
use std::sync::Arc;

use polyport_common::shutdown::Phase;
use polyport_host::callbacks::{Info, Notice};
use polyport_host::id::{Id, Kind};
use polyport_host::stream::Address;
use polyport_sys::epoll::{Event, Interest};
use std::os::fd::AsFd;

use crate::callback::notify_stream;
use crate::core::{Accepted, Cause, Core, FailedDial, GATHER_MAX, PendingDial, Timeout};
use crate::core::{arm, drop_output, earliest};
use crate::object::{Entity, Flag, Object, Stream, address};
use crate::reason::Reason;
use crate::shut::{finish_lingering, release};
use crate::transport::Transport;

/// The streams of a worker. All that is kept of a stream stands in the table; this room has the buffer that they share.
#[derive(Debug)]
pub(crate) struct Streams {
    scratch: Box<[u8]>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self {
            scratch: vec![0; GATHER_MAX].into_boxed_slice(),
        }
    }

    /// Does what a cause asks of a stream.
    pub(crate) fn on(&mut self, core: &Core, id: Id, cause: Cause) {
        let Some(stream) = core.table.stream(id) else {
            return;
        };
        let object = &stream.object;
        match cause {
            Cause::Ready(event) => self.on_ready(core, &stream, event),
            Cause::Resumed => {
                object.clear(Flag::DEFERRED);
                self.on_ready(core, &stream, anything(id));
            }
            Cause::More => {
                object.clear(Flag::QUEUED);
                self.serve(core, &stream, |_| ());
            }
            Cause::Flush => {
                object.clear(Flag::FLUSH_QUEUED);
                core.call.gather(id);
                flow_control::settle(core, &stream, &mut self.scratch);
                core.call.gather(Id::NONE);
            }
            Cause::Wake(bits) => self.notify(core, &stream, Notice::Wake(bits)),
            Cause::Timer(key, setting) if core.timer_fired(object, key, setting) => {
                self.notify(core, &stream, Notice::Timer(key));
            }
            Cause::Timeout => self.on_timeout(core, &stream),
            Cause::Drain(_) if object.take(Flag::DRAIN_QUEUED) => self.drain(core, &stream),
            Cause::Close(reason) => self.close(core, &stream, reason),
            _ => {}
        }
    }

    fn on_ready(&mut self, core: &Core, stream: &Rc<Stream>, event: Event) {
        if stream.object.has(Flag::ENDED) {
            finish_lingering(core, stream, &mut self.scratch);
        } else if stream.object.has(Flag::CONNECTING) {
            self.on_connect(core, stream, event);
        } else {
            stream.on_readiness(event);
            self.serve(core, stream, |_| ());
        }
    }

    /// Does something with a stream, then all that follows from it: reads, output, end. Every callback of a stream but
    /// those of a migration is called in here.
    #[inline]
    fn serve(&mut self, core: &Core, stream: &Rc<Stream>, first: impl FnOnce(&Rc<Stream>)) {
        core.call.gather(stream.object.id);
        first(stream);
        input::read(core, stream, &mut self.scratch);
        flow_control::settle(core, stream, &mut self.scratch);
        core.call.gather(Id::NONE);
    }

    /// Notifies the handler, if it may be called about the stream.
    fn notify(&mut self, core: &Core, stream: &Rc<Stream>, notice: Notice) {
        let object = &stream.object;
        let is_fenced = core.pause.is_fenced(&object.service().instance);
        if !object.has(Flag::ENDED.or(Flag::CONNECTING)) && !is_fenced {
            self.serve(core, stream, |stream| notify_stream(stream, notice));
        }
    }

    fn on_timeout(&mut self, core: &Core, stream: &Rc<Stream>) {
        stream.object.timeout.set(None);
        match earliest(stream) {
            Some((at, due)) if at <= core.clock.now() => match due {
                Timeout::Linger => release(core, stream),
                Timeout::Connect => dial::time_out(core, stream),
                Timeout::End(reason) => self.serve(core, stream, |stream| {
                    // A peer that reads nothing will not read a goodbye either.
                    stream.end(reason, false, None);
                }),
            },
            Some(_) => arm(core, stream),
            None => {}
        }
    }

    /// Lets a stream drain: the handler is notified, and an idle stream of one without `on_drain` closes.
    pub(crate) fn drain(&mut self, core: &Core, stream: &Rc<Stream>) {
        let object = &stream.object;
        // A dial that is not done drains when it is, and what a fenced instance has ends without a callback.
        if object.has(Flag::ENDED.or(Flag::CONNECTING))
            || core.pause.is_fenced(&object.service().instance)
            || !object.mark(Flag::DRAINING)
        {
            return;
        }
        // What the peer has sent already is still read and answered.
        if stream.transport.unread().is_none_or(|unread| unread > 0) {
            object.set(Flag::READABLE);
        }
        let deadline = match (object.drain_until.get(), core.phase.get()) {
            (0, _) => core.drain_deadline(),
            (own, None) => own,
            (own, Some(_)) => own.min(core.drain_deadline()),
        };
        self.notify(core, stream, Notice::Drain(deadline));
    }

    /// Ends a stream: at once at a forced stop, else after its output.
    fn close(&mut self, core: &Core, stream: &Rc<Stream>, reason: Reason) {
        let is_forced = reason == Reason::Forced;
        if stream.object.has(Flag::ENDED) {
            if is_forced {
                release(core, stream);
            }
        } else if stream.object.has(Flag::CONNECTING) {
            dial::cancel(core, stream);
        } else {
            self.serve(core, stream, |stream| stream.end(reason, !is_forced, None));
        }
    }

    /// Makes a stream of an accepted connection.
    pub(crate) fn open(&mut self, core: &Core, accepted: Accepted) -> Option<Id> {
        let Accepted {
            socket,
            peer,
            listener,
            service,
            permit,
        } = accepted;
        let Ok(id) = core.new_id(Kind::Stream, &service) else {
            tracing::warn!(
                service = service.name,
                "a connection is refused: this worker's table is full"
            );
            core.give_back(permit);
            return None;
        };
        let object = Object::new(id, service, Arc::clone(&listener.name), None, Some(permit));
        let transport = Transport::plain(socket, &peer);
        let stream = Rc::new(Stream::new(object, transport, peer, core.clock.now()));
        if !watch(core, &stream) {
            return None;
        }
        self.opened(core, &stream, listener.local.as_ref().map(address));
        Some(id)
    }

    /// A stream is connected: the handler opens it, and may write before anything is read.
    fn opened(&mut self, core: &Core, stream: &Rc<Stream>, local: Option<Address>) {
        self.serve(core, stream, |stream| {
            let object = &stream.object;
            let service = object.service();
            let info = Info::Stream(stream.info(&service.name, local));
            match service.instance.open(object.id, &info) {
                Ok(state) => {
                    object.state.set(state);
                    arm(core, stream);
                }
                Err(error) => {
                    tracing::debug!(stream = %object.id, reason = %error, "the handler refuses the stream");
                    // `open` failed, so there is no `closed`.
                    object.set(Flag::ENDED);
                    drop_output(core, stream);
                    release(core, stream);
                }
            }
        });
        match core.phase.get() {
            Some(Phase::Force) => self.close(core, stream, Reason::Forced),
            Some(Phase::Drain { .. }) => self.drain(core, stream),
            None => {}
        }
    }

    /// Connects a stream for a handler.
    pub(crate) fn dial(&self, core: &Core, pending: PendingDial) {
        dial::begin(core, pending);
    }

    fn on_connect(&mut self, core: &Core, stream: &Rc<Stream>, event: Event) {
        if dial::is_connected(core, stream, event) {
            self.opened(core, stream, None);
            core.queue(stream.object.id, Cause::Place);
        }
    }

    /// Notifies a stream that a dial of its own failed.
    pub(crate) fn dial_failed(&mut self, core: &Core, stream: &Rc<Stream>, failed: &FailedDial) {
        let FailedDial { dialled, why, .. } = *failed;
        let tag = dialled.tag;
        self.notify(core, stream, Notice::DialFailed { tag, why });
    }
}

/// Puts a new stream into table and epoll set; returns whether that worked.
fn watch(core: &Core, stream: &Rc<Stream>) -> bool {
    core.insert(Entity::Stream(Rc::clone(stream)));
    let (fd, token) = (stream.transport.as_fd(), stream.object.id.raw());
    if let Err(error) = core.epoll.add(fd, token, Interest::STREAM) {
        let service = stream.object.service().name.clone();
        tracing::warn!(service, %error, "a connection cannot be watched and is closed");
        release(core, stream);
        return false;
    }
    true
}

/// What was missed during a pause is not known in detail.
fn anything(id: Id) -> Event {
    Event {
        token: id.raw(),
        readable: true,
        writable: true,
        read_closed: false,
        error: false,
    }
}
