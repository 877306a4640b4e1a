//! Backpressure: reads of a stream pause while its own output is above the high watermark, and go on at the low one;
//! `on_writable` comes when a handler that wrote too much may go on.

use std::rc::Rc;

use polyport_host::callbacks::Notice;

use crate::callback::notify_stream;
use crate::core::{Core, drop_output, flush_output, waiting_output};
use crate::object::{Flag, Stream};
use crate::shut::conclude;

/// `on_writable` calls of one stream in one turn.
const WRITABLES: usize = 8;

/// Sends what there is, notifies the handler when there is room, and ends the stream if it is time.
#[inline]
pub(super) fn settle(core: &Core, stream: &Rc<Stream>, scratch: &mut [u8]) {
    let object = &stream.object;
    if object.has(Flag::ENDED.or(Flag::CONNECTING)) {
        return;
    }
    if stream.is_ending_at_once() {
        // Output before such an end is not wanted any more.
        drop_output(core, stream);
    }
    let mut calls = 0;
    loop {
        flush_output(core, stream);
        check_output(core, stream);
        let is_owed = object.has(Flag::WRITABLE_OWED) && !stream.is_ending();
        if !is_owed || waiting_output(core, stream) > stream.output.low() {
            break;
        }
        if calls == WRITABLES {
            core.go_on(object);
            break;
        }
        calls += 1;
        object.clear(Flag::WRITABLE_OWED);
        notify_stream(stream, Notice::Writable);
    }
    if stream.may_read() || object.has(Flag::REDELIVER) && stream.may_deliver() {
        core.go_on(object);
    }
    conclude(core, stream, scratch);
}

/// Pauses reads above the high watermark, and lets them go on at the low one.
#[inline]
pub(super) fn check_output(core: &Core, stream: &Stream) {
    let object = &stream.object;
    let waiting = waiting_output(core, stream);
    if waiting > stream.output.high() {
        let flags = object.service().instance.handler().flags;
        if flags & polyport_abi::PP_HF_MANUAL_FLOW == 0 {
            object.set(Flag::PAUSED_BY_OUTPUT);
        }
    } else if waiting <= stream.output.low() && object.take(Flag::PAUSED_BY_OUTPUT) {
        stream.redeliver();
    }
}
