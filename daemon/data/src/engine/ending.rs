//! The end of a stream: when, for which reason, and how leave is taken of the peer.

use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use polyport_host::callbacks::Notice;

use super::Engine;
use super::stream::{Ending, Flag, Stream};
use crate::shut::Reason;
use crate::worker::Due;

/// How long a peer may take to end its direction after we ended ours and closed. Closing at once would reset it if
/// it still sends, and the reset could overtake our last bytes (RFC 1122, 4.2.2.13).
const LEAVE: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped meanwhile.
const LEAVE_BYTES: usize = 64 << 10;

impl Engine {
    /// Ends the stream if it is time.
    pub(super) fn conclude(&self, stream: &Rc<Stream>) {
        if stream.has(Flag::ENDED) {
            return;
        }
        let ending = stream.ending.borrow().clone();
        let sent_all = stream.queue.borrow().is_empty();
        match ending {
            Some(ending) if ending.flush && !sent_all && !stream.has(Flag::BROKEN) => {
                self.arm(stream);
            }
            Some(ending) => self.finish(stream, &ending),
            None if sent_all && stream.has(Flag::FIN_SHOWN) && stream.has(Flag::FIN_WANTED) => {
                self.finish(stream, &plain(Reason::Done));
            }
            None if stream.has(Flag::DRAINING)
                && stream.is_idle()
                && !stream.service().instance.drains_streams() =>
            {
                self.finish(stream, &plain(Reason::Drain));
            }
            None => {}
        }
    }

    /// Tells the handler that this is the end, then takes leave of the peer.
    fn finish(&self, stream: &Rc<Stream>, ending: &Ending) {
        if !stream.mark(Flag::ENDED) {
            return;
        }
        stream.timers.borrow_mut().clear(&self.timers);
        let service = stream.service();
        let instance = &service.instance;
        let said = instance.notify(
            stream.id,
            stream.state.get(),
            Notice::Closed(ending.reason.code()),
        );
        if let Err(error) = said {
            self.fault(stream, "closed", &error.to_string());
        }
        self.account(stream, ending);
        self.ids.end(stream.id);
        // What `closed` itself wrote to this stream is too late.
        self.drop_output(stream);
        stream.kept.take();
        let orderly = !stream.has(Flag::BROKEN)
            && matches!(
                ending.reason,
                Reason::Handler | Reason::Drain | Reason::TooLarge | Reason::Partial
            );
        if orderly && !stream.has(Flag::PEER_FIN) && !self.is_forced() {
            self.end_our_direction(stream);
            let waits =
                ending.reason != Reason::Drain || stream.socket.unread_bytes().is_ok_and(|n| n > 0);
            if waits {
                let until = self.clock.now() + u64::try_from(LEAVE.as_nanos()).unwrap_or(u64::MAX);
                stream.until.set(until);
                self.arm(stream);
                return self.take_leave(stream);
            }
        }
        self.release(stream);
    }

    /// Reads and drops what the peer still sends, until it ends too.
    pub(super) fn take_leave(&self, stream: &Rc<Stream>) {
        let mut scratch = self.scratch.borrow_mut();
        let mut dropped = 0;
        while dropped < LEAVE_BYTES {
            match stream.socket.read(&mut scratch) {
                Ok(0) => break,
                Ok(count) => dropped += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => break,
            }
        }
        drop(scratch);
        self.release(stream);
    }

    /// Closes the socket and gives everything back.
    pub(super) fn release(&self, stream: &Rc<Stream>) {
        stream.set(Flag::ENDED);
        if let Some((key, _)) = stream.deadline.take() {
            self.timers.remove(key);
        }
        stream.timers.borrow_mut().clear(&self.timers);
        // The set forgets the socket when its one descriptor closes, at the latest with this turn; an event that
        // comes before names an id that is stale.
        self.ids.remove(stream.id);
        if self.table.remove(stream.id) {
            stream.service().ended();
        }
        self.count_live();
        if let Some(permit) = stream.permit.take() {
            self.give_back(permit);
        }
        if stream.family != stream.id {
            self.relative_gone(stream.family);
        }
    }

    fn account(&self, stream: &Stream, ending: &Ending) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        let (_, blame, reason) = ending.reason.describe();
        let service = stream.service();
        let name = service.instance.name();
        tracing::debug!(
            service = service.name,
            instance = name.instance,
            stream = %stream.id,
            peer = ?stream.peer,
            reason,
            by = blame.name(),
            why = ending.why.as_deref().unwrap_or_default(),
            bytes_in = stream.bytes_in.get(),
            bytes_out = stream.bytes_out.get(),
            seconds = Duration::from_nanos(self.clock.now().saturating_sub(stream.opened.get())).as_secs_f64(),
            "stream ended"
        );
    }

    /// Sees to it that the stream is looked at when its next timeout could be due.
    pub(super) fn arm(&self, stream: &Rc<Stream>) {
        let Some((at, _)) = earliest(stream) else {
            return;
        };
        if let Some((key, armed)) = stream.deadline.get() {
            if armed <= at {
                return;
            }
            self.timers.remove(key);
        }
        let after = Duration::from_nanos(at.saturating_sub(self.clock.now()));
        stream
            .deadline
            .set(Some((self.timers.add(Due::Look(stream.id), after), at)));
    }

    /// A timeout may be due.
    pub(super) fn stream_due(&self, stream: &Rc<Stream>) {
        stream.deadline.set(None);
        match earliest(stream) {
            Some((at, due)) if at <= self.clock.now() => match due {
                Timeout::Leave => self.release(stream),
                Timeout::Connect => self.dial_timed_out(stream),
                Timeout::Reason(reason) => self.serve(stream, |stream| {
                    // A peer that reads nothing will not read a goodbye either.
                    stream.end(reason, false, None);
                }),
            },
            Some(_) => self.arm(stream),
            None => {}
        }
    }
}

fn plain(reason: Reason) -> Ending {
    Ending {
        reason,
        flush: false,
        why: None,
    }
}

enum Timeout {
    Leave,
    Connect,
    Reason(Reason),
}

/// The next timeout of a stream and when it would be due, if nothing moves meanwhile.
fn earliest(stream: &Stream) -> Option<(u64, Timeout)> {
    if stream.has(Flag::ENDED) {
        return Some((stream.until.get(), Timeout::Leave));
    }
    if stream.has(Flag::CONNECTING) {
        return Some((stream.until.get(), Timeout::Connect));
    }
    let timeouts = &stream.service().timeouts;
    let after = |since: u64, limit: Option<Duration>, reason: Reason| {
        let limit = u64::try_from(limit?.as_nanos()).unwrap_or(u64::MAX);
        Some((since.saturating_add(limit), Timeout::Reason(reason)))
    };
    let waits_first = stream.bytes_in.get() == 0 && stream.dialled.is_none();
    let candidates = [
        after(stream.last_io.get(), timeouts.idle, Reason::Idle),
        after(
            stream.opened.get(),
            timeouts.first_byte.filter(|_| waits_first),
            Reason::FirstByte,
        ),
        after(stream.opened.get(), timeouts.lifetime, Reason::Lifetime),
        match stream.blocked_since.get() {
            0 => None,
            since => after(since, Some(timeouts.write), Reason::Write),
        },
        match stream.drain_until.get() {
            0 => None,
            at => Some((at, Timeout::Reason(Reason::Forced))),
        },
    ];
    candidates.into_iter().flatten().min_by_key(|(at, _)| *at)
}
