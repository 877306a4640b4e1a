//! A stream as the engine keeps it: small, and without a buffer while it is idle.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::id::Id;
use polyport_host::stream::{DialOrigin, PluginState};
use polyport_sys::epoll::Event;
use polyport_sys::{PeerAddress, Stream as Socket};

use super::timers::Timers;
use crate::admit::Permit;
use crate::reply::Queue;
use crate::service::Service;
use crate::shut::Reason;
use crate::worker::TimerKey;

/// Output at which reads go on again and `on_writable` comes, bytes.
pub(super) const LOW_DEFAULT: u32 = 64 << 10;
/// Output at which reads pause, bytes.
pub(super) const HIGH_DEFAULT: u32 = 256 << 10;
/// Most output that a handler may queue, bytes; more is refused.
pub(super) const OUTPUT_MAX: usize = 4 << 20;
/// Most input that is kept for a handler that waits for more, bytes.
pub(super) const INPUT_MAX: usize = 1 << 20;

/// One bit of what is true of a stream now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(u32);

impl Flag {
    /// Its socket may have bytes.
    pub(super) const READABLE: Self = Self(1);
    /// An end or an error was announced: read on until it comes.
    pub(super) const END_ANNOUNCED: Self = Self(1 << 1);
    /// The peer has ended its direction.
    pub(super) const PEER_FIN: Self = Self(1 << 2);
    /// The handler has seen that, and used up all.
    pub(super) const FIN_SHOWN: Self = Self(1 << 3);
    /// The handler wants to end our direction.
    pub(super) const FIN_WANTED: Self = Self(1 << 4);
    /// Our direction is ended.
    pub(super) const FIN_SENT: Self = Self(1 << 5);
    /// The handler has stopped reads.
    pub(super) const PAUSED_BY_HANDLER: Self = Self(1 << 6);
    /// Output is above high.
    pub(super) const PAUSED_BY_OUTPUT: Self = Self(1 << 7);
    /// The handler was told so and waits for `on_writable`.
    pub(super) const WRITABLE_OWED: Self = Self(1 << 8);
    /// It is in the list of streams to go on with.
    pub(super) const AGAIN: Self = Self(1 << 9);
    /// Kept bytes are to be shown again.
    pub(super) const SHOW_KEPT: Self = Self(1 << 10);
    /// The socket failed: nothing more can be read or written.
    pub(super) const BROKEN: Self = Self(1 << 11);
    /// A dial that is not connected yet.
    pub(super) const CONNECTING: Self = Self(1 << 12);
    /// `closed` was called; only the leave-taking goes on.
    pub(super) const ENDED: Self = Self(1 << 13);
    /// The daemon or its service ends.
    pub(super) const DRAINING: Self = Self(1 << 14);
    /// It is in the list of relatives that were written to.
    pub(super) const TOUCHED: Self = Self(1 << 15);
    /// It is in the queue of those that are to drain.
    pub(super) const TO_DRAIN: Self = Self(1 << 16);
    /// Its service is answered by another instance by now, and it stays with its own.
    pub(super) const REPLACED: Self = Self(1 << 17);
}

/// How a stream is to end once its output is gone (or at once).
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) reason: Reason,
    /// Wait for the queued output first.
    pub(super) flush: bool,
    /// The handler's or the system's words.
    pub(super) why: Option<Box<str>>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: Id,
    /// The eldest relative: who accepted or dialled the first of the family.
    pub(super) family: Id,
    pub(super) socket: Socket,
    pub(super) peer: PeerAddress,
    service: RefCell<Arc<Service>>,
    /// Name of the listener; empty when dialled.
    pub(super) listener: Arc<str>,
    pub(super) dialled: Option<DialOrigin>,
    pub(super) state: Cell<PluginState>,
    flags: Cell<u32>,
    /// Bytes below which the handler does not want to be called.
    pub(super) want: Cell<usize>,
    pub(super) low: Cell<u32>,
    pub(super) high: Cell<u32>,
    /// Input that the handler has not used up.
    pub(super) kept: RefCell<Vec<u8>>,
    /// Output that the socket has not taken.
    pub(super) queue: RefCell<Queue>,
    pub(super) ending: RefCell<Option<Ending>>,
    pub(super) timers: RefCell<Timers>,
    pub(super) permit: RefCell<Option<Permit>>,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    /// Nanoseconds of the monotonic clock, here and below.
    pub(super) opened: Cell<u64>,
    pub(super) last_io: Cell<u64>,
    /// Since when the socket has taken nothing of what waits; 0: nothing waits.
    pub(super) blocked_since: Cell<u64>,
    /// When the leave-taking, or an unfinished dial, is over; 0: neither.
    pub(super) until: Cell<u64>,
    /// When its own drain ends by force; 0: it has none.
    pub(super) drain_until: Cell<u64>,
    pub(super) deadline: Cell<Option<(TimerKey, u64)>>,
}

/// What a stream is made of.
pub(super) struct Parts {
    pub(super) id: Id,
    pub(super) family: Id,
    pub(super) socket: Socket,
    pub(super) peer: PeerAddress,
    pub(super) service: Arc<Service>,
    pub(super) listener: Arc<str>,
    pub(super) dialled: Option<DialOrigin>,
    pub(super) permit: Option<Permit>,
    pub(super) now: u64,
}

impl Stream {
    pub(super) fn new(parts: Parts) -> Rc<Self> {
        Rc::new(Self {
            id: parts.id,
            family: parts.family,
            socket: parts.socket,
            peer: parts.peer,
            service: RefCell::new(parts.service),
            listener: parts.listener,
            dialled: parts.dialled,
            state: Cell::new(PluginState::NONE),
            flags: Cell::new(0),
            want: Cell::new(1),
            low: Cell::new(LOW_DEFAULT),
            high: Cell::new(HIGH_DEFAULT),
            kept: RefCell::default(),
            queue: RefCell::default(),
            ending: RefCell::default(),
            timers: RefCell::default(),
            permit: RefCell::new(parts.permit),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            opened: Cell::new(parts.now),
            last_io: Cell::new(parts.now),
            blocked_since: Cell::new(0),
            until: Cell::new(0),
            drain_until: Cell::new(0),
            deadline: Cell::new(None),
        })
    }

    /// Who answers it. A borrow may be held while the handler is called: it changes only between two callbacks.
    #[inline]
    pub(super) fn service(&self) -> Ref<'_, Arc<Service>> {
        self.service.borrow()
    }

    /// Gives it to another service, between two callbacks; both count it.
    pub(super) fn change_service(&self, service: &Arc<Service>) {
        let before = self.service.replace(Arc::clone(service));
        service.began();
        before.ended();
    }

    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags.get() & flag.0 != 0
    }

    pub(super) fn set(&self, flag: Flag) {
        self.flags.set(self.flags.get() | flag.0);
    }

    pub(super) fn clear(&self, flag: Flag) {
        self.flags.set(self.flags.get() & !flag.0);
    }

    /// Sets the flag; was it clear before?
    pub(super) fn mark(&self, flag: Flag) -> bool {
        let clear = !self.has(flag);
        self.set(flag);
        clear
    }

    /// Notes what an event says of its input.
    pub(super) fn heard(&self, event: Event) {
        if event.readable || event.read_closed || event.error {
            self.set(Flag::READABLE);
        }
        if event.read_closed || event.error {
            self.set(Flag::END_ANNOUNCED);
        }
    }

    /// May the handler be shown bytes now?
    pub(super) fn shows(&self) -> bool {
        let stops = Flag::PAUSED_BY_HANDLER.0
            | Flag::PAUSED_BY_OUTPUT.0
            | Flag::BROKEN.0
            | Flag::ENDED.0
            | Flag::CONNECTING.0;
        self.flags.get() & stops == 0 && self.ending.borrow().is_none()
    }

    /// May its socket be read now?
    pub(super) fn reads(&self) -> bool {
        self.has(Flag::READABLE) && !self.has(Flag::PEER_FIN) && self.shows()
    }

    /// Is nothing kept, unread or unsent?
    pub(super) fn is_idle(&self) -> bool {
        (!self.has(Flag::READABLE) || self.has(Flag::PEER_FIN))
            && self.kept.borrow().is_empty()
            && self.queue.borrow().is_empty()
    }

    /// Asks for an end, unless one is under way.
    pub(super) fn end(&self, reason: Reason, flush: bool, why: Option<Box<str>>) {
        let mut ending = self.ending.borrow_mut();
        match &mut *ending {
            // An end that waits for output can be hastened, never undone.
            Some(present) if present.flush && !flush => {
                *present = Ending { reason, flush, why };
            }
            Some(_) => {}
            None => *ending = Some(Ending { reason, flush, why }),
        }
    }

    /// What its socket has taken, for the timeouts and the account.
    pub(super) fn sent(&self, count: usize, now: u64) {
        self.bytes_out.set(self.bytes_out.get() + count as u64);
        self.last_io.set(now);
    }
}
