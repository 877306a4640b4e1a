//! Timeouts of a stream: which is the next, and the one lazy entry for it.

use std::time::Duration;

use super::{Cause, Core, Work};
use crate::object::{Flag, Stream};
use crate::reason::Reason;
use crate::time::nanos;

/// What is due.
pub(crate) enum Timeout {
    /// The peer had its time to end its direction.
    Linger,
    /// The dial is not connected.
    Connect,
    /// The stream ends for this reason.
    End(Reason),
}

/// Sees to it that the stream gets a [`Cause::Timeout`] when its next timeout could be due.
pub(crate) fn arm(core: &Core, stream: &Stream) {
    let Some((at, _)) = earliest(stream) else {
        return;
    };
    let object = &stream.object;
    if let Some((key, armed)) = object.timeout.get() {
        if armed <= at {
            return;
        }
        core.cancel(key);
    }
    let after = Duration::from_nanos(at.saturating_sub(core.clock.now()));
    let key = core.after(after, Work::Object(object.id, Cause::Timeout));
    object.timeout.set(Some((key, at)));
}

/// The next timeout of a stream and when it would be due, if nothing moves meanwhile.
pub(crate) fn earliest(stream: &Stream) -> Option<(u64, Timeout)> {
    let object = &stream.object;
    if object.has(Flag::ENDED) {
        return Some((stream.until.get(), Timeout::Linger));
    }
    if object.has(Flag::CONNECTING) {
        return Some((stream.until.get(), Timeout::Connect));
    }
    let timeouts = &object.service().timeouts;
    let after = |since: u64, limit: Option<Duration>, reason: Reason| {
        Some((since.saturating_add(nanos(limit?)), Timeout::End(reason)))
    };
    let waits_first = stream.bytes_in.get() == 0 && object.dialled.is_none();
    let candidates = [
        after(stream.last_io.get(), timeouts.idle, Reason::Idle),
        after(
            stream.opened.get(),
            timeouts.first_byte.filter(|_| waits_first),
            Reason::FirstByte,
        ),
        after(stream.opened.get(), timeouts.lifetime, Reason::Lifetime),
        match stream.output.blocked_since() {
            0 => None,
            since => after(since, Some(timeouts.write), Reason::Write),
        },
        match object.drain_until.get() {
            0 => None,
            at => Some((at, Timeout::End(Reason::Forced))),
        },
    ];
    candidates.into_iter().flatten().min_by_key(|(at, _)| *at)
}
