//! A stream: one accepted or dialled connection. Small, and without a buffer while it is idle.

use std::cell::{Cell, RefCell};
use std::io;

use polyport_host::stream::{Address, StreamInfo};
use polyport_sys::PeerAddress;
use polyport_sys::epoll::Event;

use super::{Flag, Input, Object, address};
use crate::reason::Reason;
use crate::reply::Output;
use crate::transport::Transport;

/// How a stream is to end once its output is gone (or at once).
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) reason: Reason,
    /// Wait for the queued output first.
    pub(crate) flush: bool,
    /// The handler's or the system's words.
    pub(crate) why: Option<Box<str>>,
}

/// See the module's text. Times are nanoseconds of the monotonic clock.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) object: Object,
    pub(crate) transport: Transport,
    /// The remote address.
    pub(crate) peer: PeerAddress,
    pub(crate) input: Input,
    pub(crate) output: Output,
    /// The end that was asked for.
    ending: RefCell<Option<Box<Ending>>>,
    pub(crate) bytes_in: Cell<u64>,
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) opened: Cell<u64>,
    pub(crate) last_io: Cell<u64>,
    /// When the lingering close, or an unfinished dial, is given up; 0: neither.
    pub(crate) until: Cell<u64>,
}

impl Stream {
    /// A stream that no handler knows yet.
    pub(crate) fn new(object: Object, transport: Transport, peer: PeerAddress, now: u64) -> Self {
        Self {
            object,
            transport,
            peer,
            input: Input::default(),
            output: Output::default(),
            ending: RefCell::default(),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            opened: Cell::new(now),
            last_io: Cell::new(now),
            until: Cell::new(0),
        }
    }

    /// The argument of `open` and `import_state`. `local`: our address, if the listener has only one.
    pub(crate) fn info<'a>(&'a self, service: &'a str, local: Option<Address>) -> StreamInfo<'a> {
        let ask = || {
            let local = self.transport.connection().local_address();
            local.map_or(Address::None, |local| address(&local))
        };
        StreamInfo {
            local: local.unwrap_or_else(ask),
            remote: address(&self.peer),
            dialled: self.object.dialled.as_deref().copied(),
            service,
            listener: &self.object.listener,
        }
    }

    /// Sets the flags of the input that an event stands for.
    pub(crate) fn on_readiness(&self, event: Event) {
        if event.readable || event.read_closed || event.error {
            self.object.set(Flag::READABLE);
        }
        if event.read_closed || event.error {
            self.object.set(Flag::END_ANNOUNCED);
        }
    }

    /// May bytes be delivered to the handler now?
    #[inline]
    pub(crate) fn may_deliver(&self) -> bool {
        const STOPS: Flag = Flag::PAUSED_BY_HANDLER
            .or(Flag::PAUSED_BY_OUTPUT)
            .or(Flag::BROKEN)
            .or(Flag::ENDED)
            .or(Flag::CONNECTING);
        !self.object.has(STOPS) && !self.is_ending()
    }

    /// May the socket be read now?
    #[inline]
    pub(crate) fn may_read(&self) -> bool {
        self.object.has(Flag::READABLE) && !self.object.has(Flag::PEER_FIN) && self.may_deliver()
    }

    /// Is nothing unread, unconsumed or unsent?
    pub(crate) fn is_idle(&self) -> bool {
        (!self.object.has(Flag::READABLE) || self.object.has(Flag::PEER_FIN))
            && self.input.unconsumed.borrow().is_empty()
            && self.output.is_empty()
    }

    /// Is it a connected stream that its handler knows, and that no end was asked for?
    pub(crate) fn is_settled(&self) -> bool {
        let unsettled = Flag::CONNECTING
            .or(Flag::DRAINING)
            .or(Flag::BROKEN)
            .or(Flag::ENDED);
        !self.object.has(unsettled) && !self.is_ending()
    }

    /// Asks for an end, unless one was asked for. One that waits for output can be hastened, never undone.
    pub(crate) fn end(&self, reason: Reason, flush: bool, why: Option<Box<str>>) {
        let mut ending = self.ending.borrow_mut();
        match &mut *ending {
            Some(present) if present.flush && !flush => {
                **present = Ending { reason, flush, why };
            }
            Some(_) => {}
            None => *ending = Some(Box::new(Ending { reason, flush, why })),
        }
    }

    /// Was an end asked for?
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.borrow().is_some()
    }

    /// The end that was asked for.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.ending.borrow().as_deref().cloned()
    }

    /// Was an end asked for that does not wait for output?
    pub(crate) fn is_ending_at_once(&self) -> bool {
        self.ending
            .borrow()
            .as_ref()
            .is_some_and(|ending| !ending.flush)
    }

    /// The connection has failed: nothing more is read or written.
    pub(crate) fn fail(&self, error: &io::Error) {
        use io::ErrorKind;
        self.object.set(Flag::BROKEN);
        self.object.clear(Flag::READABLE);
        self.output.clear();
        let (reason, why) = match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
                (Reason::PeerReset, None)
            }
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                (Reason::PeerReset, Some(error.to_string().into()))
            }
            _ => (Reason::Host, Some(error.to_string().into())),
        };
        self.end(reason, false, why);
    }

    /// Unconsumed input is to be delivered again, without new bytes: reads are allowed again, or the code is new.
    pub(crate) fn redeliver(&self) {
        let has_fin = self.object.has(Flag::PEER_FIN) && !self.object.has(Flag::FIN_DELIVERED);
        if has_fin || !self.input.unconsumed.borrow().is_empty() {
            self.object.set(Flag::REDELIVER);
        }
    }

    /// Ends our direction, once.
    pub(crate) fn end_write(&self) {
        if self.object.mark(Flag::FIN_SENT) {
            self.transport.end_write();
        }
    }
}
