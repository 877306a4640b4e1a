//! Input of a stream: read, deliver, keep what the handler does not consume.

use std::rc::Rc;

use crate::callback::fault;
use crate::core::Core;
use crate::object::{Flag, INPUT_MAX, Stream};
use crate::reason::Reason;
use crate::transport::Read;

use super::flow_control::check_output;

/// Reads of one stream in one turn, so that a fast peer does not hold up the others.
const READS: usize = 4;

/// Delivers what is to be delivered again, then reads and delivers as long as bytes come.
#[inline]
pub(super) fn read(core: &Core, stream: &Rc<Stream>, scratch: &mut [u8]) {
    if stream.object.has(Flag::REDELIVER) && stream.may_deliver() {
        stream.object.clear(Flag::REDELIVER);
        deliver(core, stream, &[]);
    }
    let mut reads = 0;
    while stream.may_read() {
        if reads == READS {
            return core.go_on(&stream.object);
        }
        reads += 1;
        read_once(core, stream, scratch);
    }
}

fn read_once(core: &Core, stream: &Rc<Stream>, scratch: &mut [u8]) {
    let object = &stream.object;
    match stream.transport.read(scratch) {
        Read::Bytes { count, drained } => {
            // Urgent data announces itself, and splits reads.
            if drained && !object.has(Flag::END_ANNOUNCED) {
                object.clear(Flag::READABLE);
            }
            stream.bytes_in.set(stream.bytes_in.get() + count as u64);
            stream.last_io.set(core.clock.now());
            deliver(core, stream, scratch.get(..count).unwrap_or_default());
        }
        Read::End => {
            object.set(Flag::PEER_FIN);
            object.clear(Flag::READABLE);
            deliver(core, stream, &[]);
        }
        Read::Blocked => object.clear(Flag::READABLE),
        Read::Failed(error) => stream.fail(&error),
    }
}

/// Delivers unconsumed and new bytes, and keeps what the handler does not consume.
fn deliver(core: &Core, stream: &Rc<Stream>, new: &[u8]) {
    let mut unconsumed = stream.input.unconsumed.take();
    if unconsumed.is_empty() {
        let consumed = call_handler(core, stream, new);
        unconsumed.extend_from_slice(new.get(consumed..).unwrap_or_default());
    } else {
        unconsumed.extend_from_slice(new);
        let consumed = call_handler(core, stream, &unconsumed);
        if consumed == unconsumed.len() {
            unconsumed = Vec::new();
        } else {
            unconsumed.drain(..consumed);
        }
    }
    let wanted = unconsumed.len().max(stream.input.want.get());
    if stream.may_deliver() && wanted > INPUT_MAX && !stream.object.has(Flag::PEER_FIN) {
        stream.end(Reason::TooLarge, true, None);
    }
    stream.input.unconsumed.replace(unconsumed);
}

/// Calls `on_data` until the bytes are consumed or the handler wants no more now; returns how many were consumed.
fn call_handler(core: &Core, stream: &Rc<Stream>, bytes: &[u8]) -> usize {
    let object = &stream.object;
    let service = object.service();
    let instance = &service.instance;
    let want = &stream.input.want;
    let mut at = 0;
    while stream.may_deliver() {
        let rest = bytes.get(at..).unwrap_or_default();
        let fin = object.has(Flag::PEER_FIN) && !object.has(Flag::FIN_DELIVERED);
        let is_enough = !rest.is_empty() && rest.len() >= want.get();
        if !is_enough && !fin {
            break;
        }
        want.set(1);
        let taken = match instance.data(object.id, object.state.get(), rest, fin) {
            Ok(taken) => taken,
            Err(error) => {
                fault(stream, "on_data", &error.to_string());
                break;
            }
        };
        at += taken.used;
        want.set(taken.want);
        if fin && taken.used == rest.len() {
            object.set(Flag::FIN_DELIVERED);
            if instance.handler().ignores_data() {
                stream.end(Reason::Done, true, None);
            }
        } else if fin && taken.used == 0 && stream.may_deliver() {
            stream.end(Reason::Partial, true, None);
        }
        check_output(core, stream);
        if taken.used == 0 {
            break;
        }
    }
    at
}
