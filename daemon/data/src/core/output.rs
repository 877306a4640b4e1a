//! Output of a stream: gathered while its callbacks run, sent in one piece, queued only when the socket takes no more.

use std::io::{ErrorKind, IoSlice};
use std::rc::Rc;

use super::call::GATHER_MAX;
use super::{Cause, Core, arm};
use crate::object::{Flag, Stream};
use crate::reply::Sent;

/// Pieces from this size on are sent from where they stand, without a copy.
const BORROWED_MIN: usize = 16 << 10;
/// Most pieces of one send.
const PIECES_MAX: usize = 64;

/// Bytes that the stream's socket has not taken.
#[inline]
pub(crate) fn waiting_output(core: &Core, stream: &Stream) -> usize {
    stream.output.len() + core.call.gathered_of(stream.object.id)
}

/// Takes bytes of a handler: gathers, sends or queues them.
pub(super) fn take_output(core: &Core, stream: &Rc<Stream>, pieces: &[IoSlice<'_>], len: usize) {
    let own = core.call.is_gathering(stream.object.id);
    if !stream.output.is_empty() {
        stream.output.push(pieces, 0);
    } else if len >= BORROWED_MIN && pieces.len() < PIECES_MAX {
        if own {
            send_gathered(core, stream);
        }
        send(core, stream, pieces, len);
    } else if own {
        let mut gathered = core.call.gathered().borrow_mut();
        pieces
            .iter()
            .for_each(|piece| gathered.extend_from_slice(piece));
        if gathered.len() >= GATHER_MAX {
            drop(gathered);
            send_gathered(core, stream);
        }
    } else {
        stream.output.push(pieces, 0);
    }
    if !own {
        flush_soon(core, stream);
    }
}

/// Queues the flush of a stream that another object's callback wrote to, once.
pub(super) fn flush_soon(core: &Core, stream: &Stream) {
    if stream.object.mark(Flag::FLUSH_QUEUED) {
        core.queue(stream.object.id, Cause::Flush);
    }
}

/// Sends what callbacks of this stream have gathered.
fn send_gathered(core: &Core, stream: &Stream) {
    let mut gathered = core.call.gathered().borrow_mut();
    if gathered.is_empty() {
        return;
    }
    if !stream.object.has(Flag::BROKEN) {
        let len = gathered.len();
        send(core, stream, &[IoSlice::new(&gathered)], len);
    }
    gathered.clear();
}

/// Sends pieces of `len` bytes from where they stand, and queues what the socket does not take. Behind a queue they only
/// join it.
fn send(core: &Core, stream: &Stream, pieces: &[IoSlice<'_>], len: usize) {
    let output = &stream.output;
    if !output.is_empty() {
        return output.push(pieces, 0);
    }
    let sent = match stream.transport.write(pieces) {
        Ok(count) if count < len => {
            output.push(pieces, count);
            Sent::some(count, true)
        }
        Ok(count) => Sent::some(count, false),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            output.push(pieces, 0);
            Sent::some(0, true)
        }
        Err(error) => output.fail(0, error),
    };
    account(core, stream, &sent);
}

/// Sends all that the socket takes now: what was gathered, what is queued, and our end.
pub(crate) fn flush_output(core: &Core, stream: &Stream) {
    if core.call.is_gathering(stream.object.id) {
        send_gathered(core, stream);
    }
    if !stream.object.has(Flag::BROKEN) && !stream.output.is_empty() {
        let sent = stream.output.flush(&stream.transport);
        account(core, stream, &sent);
    }
    if stream.object.has(Flag::FIN_WANTED) {
        // When the peer's end was delivered too, the close that follows carries ours: one call less.
        let closes = Flag::FIN_DELIVERED.or(Flag::BROKEN);
        if stream.output.is_empty() && !stream.object.has(closes) {
            match stream.transport.flush() {
                Ok(true) => stream.end_write(),
                Ok(false) => {}
                Err(error) => stream.fail(&error),
            }
        }
    }
}

/// Drops what the socket has not taken.
pub(crate) fn drop_output(core: &Core, stream: &Stream) {
    if core.call.is_gathering(stream.object.id) {
        core.call.gathered().borrow_mut().clear();
    }
    stream.output.clear();
}

/// Counts what was sent, and begins or ends the write timeout.
fn account(core: &Core, stream: &Stream, sent: &Sent) {
    let now = core.clock.now();
    if sent.count != 0 {
        stream
            .bytes_out
            .set(stream.bytes_out.get() + sent.count as u64);
        stream.last_io.set(now);
    }
    if let Some(error) = &sent.failed {
        return stream.fail(error);
    }
    let since = stream.output.blocked_since();
    if since != 0 && sent.count != 0 || since == 0 && sent.blocked {
        stream.output.set_blocked(now);
    }
    if sent.blocked {
        arm(core, stream);
    }
}
