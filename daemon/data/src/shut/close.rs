//! The end of a stream: when, for which reason, and the lingering close.

use std::time::Duration;

use polyport_host::callbacks::Notice;

use crate::callback::notify_stream;
use crate::core::{Core, arm, drop_output};
use crate::object::{Ending, Flag, Stream};
use crate::reason::Reason;
use crate::transport::Read;

/// How long the peer may take to end its direction after we ended ours and closed. Closing at once would reset the
/// connection if the peer still sends, and the reset could overtake our last bytes (RFC 1122, 4.2.2.13).
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read and dropped meanwhile, at a time.
const LINGER_BYTES: usize = 64 << 10;

/// Ends the stream if it is time. `scratch`: any buffer.
pub(crate) fn conclude(core: &Core, stream: &Stream, scratch: &mut [u8]) {
    let object = &stream.object;
    if object.has(Flag::ENDED) {
        return;
    }
    let sent_all = stream.output.is_empty();
    match stream.ending() {
        Some(ending) if ending.flush && !sent_all && !object.has(Flag::BROKEN) => {
            arm(core, stream);
        }
        Some(ending) => finish(core, stream, &ending, scratch),
        None if sent_all && object.has(Flag::FIN_DELIVERED) && object.has(Flag::FIN_WANTED) => {
            finish(core, stream, &plain(Reason::Done), scratch);
        }
        None if object.has(Flag::DRAINING)
            && stream.is_idle()
            && !object.service().instance.handler().drains_streams() =>
        {
            finish(core, stream, &plain(Reason::Drain), scratch);
        }
        None => {}
    }
}

/// Notifies the handler that this is the end, then closes; lingering, where the peer may still send.
fn finish(core: &Core, stream: &Stream, ending: &Ending, scratch: &mut [u8]) {
    let object = &stream.object;
    if !object.mark(Flag::ENDED) {
        return;
    }
    core.cancel_timers(object);
    notify_stream(stream, Notice::Closed(ending.reason.code()));
    log_end(core, stream, ending);
    core.ids.end(object.id);
    // What `closed` itself wrote to this stream is too late.
    drop_output(core, stream);
    stream.input.unconsumed.take();
    let is_orderly = !object.has(Flag::BROKEN)
        && matches!(
            ending.reason,
            Reason::Handler | Reason::Drain | Reason::TooLarge | Reason::Partial
        );
    if is_orderly && !object.has(Flag::PEER_FIN) && !core.is_forced() {
        stream.end_write();
        let lingers =
            ending.reason != Reason::Drain || stream.transport.unread().is_some_and(|n| n > 0);
        if lingers {
            stream.until.set(core.deadline_in(LINGER));
            arm(core, stream);
            return finish_lingering(core, stream, scratch);
        }
    }
    release(core, stream);
}

/// Reads and drops what the peer still sends, and closes when the peer has ended too.
pub(crate) fn finish_lingering(core: &Core, stream: &Stream, scratch: &mut [u8]) {
    let mut dropped = 0;
    while dropped < LINGER_BYTES {
        match stream.transport.read(scratch) {
            Read::Bytes { count, .. } => dropped += count,
            Read::Blocked => return,
            Read::End | Read::Failed(_) => break,
        }
    }
    release(core, stream);
}

/// Closes the socket and gives everything back. The epoll set forgets the socket when its one descriptor closes, at
/// the latest with this turn; an event before that names a stale id.
pub(crate) fn release(core: &Core, stream: &Stream) {
    core.remove(&stream.object);
}

fn plain(reason: Reason) -> Ending {
    Ending {
        reason,
        flush: false,
        why: None,
    }
}

fn log_end(core: &Core, stream: &Stream, ending: &Ending) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let (_, blame, reason) = ending.reason.describe();
    let service = stream.object.service();
    let name = service.instance.name();
    let lived = core.clock.now().saturating_sub(stream.opened.get());
    tracing::debug!(
        service = service.name,
        instance = name.instance,
        stream = %stream.object.id,
        peer = ?stream.peer,
        reason,
        by = blame.name(),
        why = ending.why.as_deref().unwrap_or_default(),
        bytes_in = stream.bytes_in.get(),
        bytes_out = stream.bytes_out.get(),
        seconds = Duration::from_nanos(lived).as_secs_f64(),
        "stream ended"
    );
}
