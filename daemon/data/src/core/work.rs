//! Work: every cause that may call a plugin, with its target. One dispatcher hands it out.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use polyport_host::host_api::Dial;
use polyport_host::id::Id;
use polyport_host::status::DialFailure;
use polyport_host::stream::DialOrigin;
use polyport_sys::PeerAddress;
use polyport_sys::epoll::Event;

use super::Accepted;
use crate::admit::Permit;
use crate::object::Group;
use crate::reason::Reason;
use crate::service::Service;

/// Something to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// With a stream, socket or flow.
    Object(Id, Cause),
    /// A listener, by its number, has connections.
    Accept(usize),
    /// The pause of a listener is over.
    Listen(usize),
    /// An accepted connection becomes a stream of this worker.
    Open(Box<Accepted>),
    /// A dial begins.
    Dial(Box<PendingDial>),
    /// A dial came to nothing: the dialler is notified.
    DialFailed(Box<FailedDial>),
    /// The next portion of streams that drain.
    Pace,
    /// The next streams that a snapshot is applied to.
    Reload,
}

/// What happens with an object.
#[derive(Debug)]
pub(crate) enum Cause {
    /// Its descriptor is ready.
    Ready(Event),
    /// A turn left something over.
    More,
    /// Another object's callback wrote to the stream.
    Flush,
    /// Its instance was resumed: everything that can be ready is looked at.
    Resumed,
    /// `wake` was called with these bits.
    Wake(u64),
    /// A plugin's timer: its key, and which setting of the key it is.
    Timer(u32, u32),
    /// A timeout may be due, or a pause after a lack of memory is over.
    Timeout,
    /// A socket that the system had no memory to receive for tries again.
    Receive,
    /// A dialled socket opens.
    Open,
    /// A socket whose callback panicked is opened anew.
    Renew,
    /// A send was cut short by a datagram that cannot be sent: the handler may go on.
    Writable,
    /// The system refused a datagram to this address with this `errno`.
    SendError(Box<(PeerAddress, i32)>),
    /// It drains until this time, nanoseconds; a stream has its own time.
    Drain(u64),
    /// A stream goes back into the pacer.
    Requeue,
    /// The grace of a draining socket, or of a superseded one that waits for what it dialled, is over.
    Grace,
    /// A flow, a superseded socket or a group member has gone: a draining or superseded socket may end now.
    Settle,
    /// Another service answers on the socket from now on.
    Rebind(Arc<Service>),
    /// It has opened after a snapshot, and its service or listener may be gone.
    Place,
    /// It ends.
    Close(Reason),
}

/// A dial that was asked for.
#[derive(Debug)]
pub(crate) struct PendingDial {
    pub(crate) service: Arc<Service>,
    /// `None`: an instance dials.
    pub(crate) group: Option<Rc<Group>>,
    pub(crate) dialled: DialOrigin,
    pub(crate) dial: Dial,
    pub(crate) permit: Permit,
}

/// A dial that failed.
#[derive(Debug)]
pub(crate) struct FailedDial {
    pub(crate) service: Arc<Service>,
    pub(crate) group: Option<Rc<Group>>,
    pub(crate) dialled: DialOrigin,
    pub(crate) why: DialFailure,
}

/// Work that waits, in order.
#[derive(Debug, Default)]
pub(crate) struct ReadyQueue {
    this_turn: RefCell<VecDeque<Work>>,
    next_turn: RefCell<VecDeque<Work>>,
}

/// Above so much work for this turn, dials of handlers are refused, and refused datagrams are not notified.
const HANDLERS_MAX: usize = 4096;

impl ReadyQueue {
    /// For this turn, after all that is queued.
    pub(crate) fn push(&self, work: Work) {
        self.this_turn.borrow_mut().push_back(work);
    }

    /// For the next turn, so that one object does not hold up the others.
    pub(crate) fn push_next(&self, work: Work) {
        self.next_turn.borrow_mut().push_back(work);
    }

    /// The next work of this turn.
    pub(crate) fn pop(&self) -> Option<Work> {
        self.this_turn.borrow_mut().pop_front()
    }

    /// Lets the work for the next turn be of this one.
    pub(crate) fn begin_turn(&self) {
        let mut left_over = self.next_turn.borrow_mut();
        self.this_turn.borrow_mut().extend(left_over.drain(..));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.this_turn.borrow().is_empty() && self.next_turn.borrow().is_empty()
    }

    /// Is so much queued that handlers may add nothing?
    pub(crate) fn is_full(&self) -> bool {
        self.this_turn.borrow().len() >= HANDLERS_MAX
    }
}
