//! The engine of a worker: its epoll set, its table, and the turn that serves both.
//!
//! One turn takes the events of the set, serves each, goes on with what an earlier turn left, and returns to the
//! runtime. Everything is `&self` with cells, because a plugin's callback calls back into the engine's desk while
//! a function of the engine waits for it; no borrow is held across a callback but that of the bytes it is shown.

mod table;
mod timers;

mod swap;
mod migrate;
mod trial;
mod listeners;
mod listening;
mod stream;
mod pump;
mod output;
mod ending;
mod dial;

mod socket;
mod receive;
mod send;
mod flow;

mod face;
mod rehome;
mod parting;

mod desk;
mod drain;
mod spread;
mod hold;
mod cede;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use polyport_host::datagram::BatchBuffer;
use polyport_host::id::Id;
use polyport_host::wake_table::{IdAllocator, WakeTable};
use polyport_sys::datagrams::{ReceiveArena, SendScratch};
use polyport_sys::epoll::{Epoll, Event, Events, Interest};

use crate::snapshot::Snapshot;
use crate::worker::{Clock, Command, Due, Mailbox, Timers};
use polyport_common::shutdown::Phase;

pub use cede::Standby;

use hold::Holding;
use listeners::Listeners;
use spread::Spread;
use stream::Stream;
use table::{Entity, Table};
use trial::Trial;

/// Bytes of the read buffer, and of the output that is gathered before it is sent.
const SCRATCH: usize = 64 << 10;
/// Events in one turn: fewer than the set could give, for a shorter wait of the last.
const EVENTS: usize = 128;
/// Messages that one receive takes at most.
const DATAGRAMS: usize = 64;
/// The waker's token; ids have a kind in their highest bits, and 15 is none.
const WAKER: u64 = 0xf << 60;
/// Tokens of listeners: this and their number.
const LISTENER: u64 = 0xe << 60;

/// See the module's text.
pub struct Engine {
    number: u8,
    epoll: Epoll,
    events: RefCell<Events>,
    ids: IdAllocator,
    mailbox: Arc<Mailbox>,
    /// The mailboxes of all workers, by number, this one's among them.
    peers: Arc<[Arc<Mailbox>]>,
    table: Table,
    timers: Timers,
    /// What is served; none before the first, and none any more once a shutdown has begun.
    snapshot: RefCell<Option<Arc<Snapshot>>>,
    listeners: RefCell<Listeners>,
    clock: Rc<Clock>,
    phase: Cell<Option<Phase>>,
    spread: RefCell<Spread>,
    holding: Holding,
    /// What comes to listening sockets is, for now or for good, not for this process.
    ceded: Cell<bool>,
    /// Until when nothing is said of a lack of descriptors, nanoseconds of the monotonic clock.
    quiet_until: Cell<u64>,
    /// State of the generator that chooses other workers.
    random: Cell<u64>,

    scratch: RefCell<Box<[u8]>>,
    /// Output of the stream whose event is served; sent when the event is done.
    out: RefCell<Vec<u8>>,
    out_of: Cell<Id>,
    /// Relatives that the running callback wrote to.
    touched: RefCell<Vec<Rc<Stream>>>,
    /// What a turn left over.
    again: RefCell<VecDeque<Id>>,
    /// What waits for the end of callbacks.
    later: RefCell<VecDeque<dial::Later>>,
    woken: RefCell<Vec<(Id, u64)>>,
    /// Lives on with other code while the old code hears of it for the last time, and may do nothing with it.
    departed: Cell<Id>,
    trial: Trial,

    arena: RefCell<Option<ReceiveArena>>,
    batch: RefCell<BatchBuffer>,
    sending: RefCell<SendScratch>,
    senders: RefCell<receive::Senders>,
}

impl Engine {
    /// The engine of the worker with this number, with nothing to serve.
    ///
    /// # Errors
    /// The system has no more descriptors.
    pub fn new(
        number: u8,
        wake_table: Arc<WakeTable>,
        mailbox: Arc<Mailbox>,
        peers: Arc<[Arc<Mailbox>]>,
        clock: Clock,
    ) -> io::Result<Self> {
        let clock = Rc::new(clock);
        let epoll = Epoll::new()?;
        epoll.add(mailbox.waker().as_fd(), WAKER, Interest::WAKE)?;
        Ok(Self {
            number,
            epoll,
            events: RefCell::new(Events::with_capacity(EVENTS)),
            ids: IdAllocator::new(wake_table),
            mailbox,
            peers,
            table: Table::default(),
            timers: Timers::new(Rc::clone(&clock)),
            clock,
            snapshot: RefCell::default(),
            listeners: RefCell::default(),
            phase: Cell::new(None),
            spread: RefCell::default(),
            holding: Holding::default(),
            ceded: Cell::new(false),
            quiet_until: Cell::new(0),
            random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ u64::from(number)),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            out: RefCell::new(Vec::with_capacity(SCRATCH)),
            out_of: Cell::new(Id::NONE),
            touched: RefCell::default(),
            again: RefCell::default(),
            later: RefCell::default(),
            woken: RefCell::default(),
            departed: Cell::new(Id::NONE),
            trial: Trial::default(),
            arena: RefCell::default(),
            batch: RefCell::default(),
            sending: RefCell::new(SendScratch::new()),
            senders: RefCell::default(),
        })
    }

    /// Is the shutdown announced and nothing left? Then the mailbox is closed too, and nothing comes any more.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase.get().is_some() && self.table.len() == 0 && self.mailbox.close()
    }

    /// One turn: waits for `sleep` at most until something is ready (`None`: for ever), then serves what is ready or due.
    ///
    /// New connections come first: a worker that was woken for one and is then held up by a callback would keep it
    /// waiting while other workers sleep, because the kernel wakes only one of them.
    ///
    /// # Errors
    /// The epoll set cannot be polled: the worker cannot go on.
    pub fn turn(&self, sleep: Option<Duration>) -> io::Result<()> {
        let count = self.epoll.poll(&mut self.events.borrow_mut(), sleep)?;
        self.clock.update();
        let left_over = self.again.borrow().len();
        for accepts in [true, false] {
            for index in 0..count {
                let event = self.events.borrow().at(index);
                if let Some(event) = event.filter(|event| (event.token >> 60 == 0xe) == accepts) {
                    self.event(event);
                }
            }
        }
        while let Some(due) = self.timers.pop() {
            self.due(due);
        }
        for _ in 0..left_over {
            let next = self.again.borrow_mut().pop_front();
            if let Some(id) = next {
                self.go_on(id);
            }
        }
        self.do_later();
        Ok(())
    }

    /// How long the next turn may wait: until the next timer, and not at all when the last turn left something over.
    #[must_use]
    pub fn sleep(&self) -> Option<Duration> {
        if self.again.borrow().is_empty() && self.later.borrow().is_empty() {
            self.timers.sleep()
        } else {
            Some(Duration::ZERO)
        }
    }

    fn due(&self, due: Due) {
        if self.aside_due(due) {
            return;
        }
        match due {
            Due::Look(id) => self.look(id),
            Due::Timer(id, key) => self.timer(id, key),
            Due::Drain => self.drains_due(),
            Due::Listener(number) => self.listen_again(number),
            Due::Receive(id) => {
                if let Some(Entity::Socket(socket)) = self.table.get(id) {
                    self.receive(&socket);
                }
            }
            Due::Parting(id) => {
                if let Some(Entity::Socket(socket)) = self.table.get(id) {
                    self.socket_parting(&socket);
                }
            }
        }
    }

    fn event(&self, event: Event) {
        match event.token >> 60 {
            0xf => self.read_commands(),
            0xe => {
                let number = usize::try_from(event.token & !LISTENER);
                self.accept_event(number.unwrap_or(usize::MAX));
            }
            _ => {
                let id = Id::from_raw(event.token);
                if self.aside_event(id, event) {
                    return;
                }
                if let Some(stream) = self.table.stream(id) {
                    self.stream_event(&stream, event);
                } else if let Some(Entity::Socket(socket)) = self.table.get(id) {
                    self.socket_event(&socket, event);
                }
            }
        }
    }

    /// Goes on with what an earlier turn left over.
    fn go_on(&self, id: Id) {
        if id.kind().is_none() {
            return self.accept_again(id.index());
        }
        let held = self.aside_again(id);
        match self.table.get(id) {
            Some(Entity::Stream(stream)) => {
                stream.clear(stream::Flag::AGAIN);
                if held {
                    return;
                }
                self.serve(&stream, |_| ());
            }
            Some(Entity::Socket(socket)) => {
                socket.again.set(false);
                if held {
                    return;
                }
                self.receive(&socket);
            }
            Some(Entity::Flow(_)) | None => {}
        }
    }

    /// Puts a listener on the list of what the next turn goes on with.
    fn listener_again(&self, number: usize) {
        let slot = u32::try_from(number).unwrap_or(0);
        // An id without a kind, which nothing else has.
        self.again
            .borrow_mut()
            .push_back(Id::from_raw(u64::from(slot) << 32));
    }

    fn look(&self, id: Id) {
        match self.table.get(id) {
            Some(Entity::Stream(stream)) => self.stream_due(&stream),
            Some(Entity::Socket(socket)) => self.socket_due(&socket),
            Some(Entity::Flow(flow)) => self.flow_due(&flow),
            None => {}
        }
    }

    fn timer(&self, id: Id, key: u32) {
        match self.table.get(id) {
            Some(Entity::Stream(stream)) => self.stream_timer(&stream, key),
            Some(Entity::Socket(socket)) => self.socket_timer(&socket, key),
            Some(Entity::Flow(flow)) => self.flow_timer(&flow, key),
            None => {}
        }
    }

    fn read_commands(&self) {
        self.mailbox.waker().clear();
        if self.mailbox.take_room() {
            self.room_again();
        }
        while let Some(command) = self.mailbox.take() {
            match command {
                Command::Snapshot(snapshot, pass) => {
                    self.take_snapshot(snapshot);
                    drop(pass);
                }
                Command::Pause(instances, pass) => {
                    self.hold(&instances);
                    drop(pass);
                }
                Command::Resume(instances, pass) => {
                    self.let_go(&instances);
                    drop(pass);
                }
                Command::Standby(ceding, pass) => {
                    self.cede(&ceding);
                    drop(pass);
                }
                Command::Adopt(accepted) => self.adopt(*accepted),
                Command::Dial(service, dial) => self.dial_for_instance(service, dial),
                Command::Phase(phase) => self.enter_phase(phase),
            }
        }
        let mut woken = self.woken.take();
        self.ids.take_woken(&mut woken);
        for (id, bits) in &woken {
            self.woken(*id, *bits);
        }
        self.woken.replace(woken);
    }

    fn woken(&self, id: Id, bits: u64) {
        if self.aside_woken(id, bits) {
            return;
        }
        match self.table.get(id) {
            Some(Entity::Stream(stream)) => self.stream_woken(&stream, bits),
            Some(Entity::Socket(socket)) => self.socket_woken(&socket, bits),
            Some(Entity::Flow(flow)) => self.flow_woken(&flow, bits),
            None => {}
        }
    }

    /// Tells the others how many live here.
    fn count_live(&self) {
        self.mailbox.set_live(self.table.len());
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("live", &self.table.len())
            .finish_non_exhaustive()
    }
}
