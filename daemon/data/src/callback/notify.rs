//! The callbacks that streams, sockets and flows have in common. A stream whose callback failed ends; a flow too; a socket
//! goes on, but after a panic only with a new state.

use polyport_abi::PP_E_PANIC;
use polyport_host::callbacks::Notice;
use polyport_host::id::Id;
use polyport_host::status::CallbackError;

use crate::core::{Cause, Core};
use crate::object::{Flag, Flow, Socket, Stream};
use crate::reason::Reason;
use crate::service::Service;

/// Notifies the handler of a stream.
pub(crate) fn notify_stream(stream: &Stream, notice: Notice) {
    let object = &stream.object;
    let service = object.service();
    let result = service
        .instance
        .notify(object.id, object.state.get(), notice);
    if let Err(error) = result {
        fault(stream, notice.name(object.id), &error.to_string());
    }
}

/// Notifies the handler of a socket, unless it may not be called.
pub(crate) fn notify_socket(core: &Core, socket: &Socket, notice: Notice) {
    let object = &socket.object;
    if object.is_callable() {
        let service = object.service();
        let result = service
            .instance
            .notify(object.id, object.state.get(), notice);
        check_socket(core, socket, notice.name(object.id), result);
    }
}

/// Notifies the handler of a flow, unless it may not be called.
pub(crate) fn notify_flow(core: &Core, flow: &Flow, notice: Notice) {
    let object = &flow.object;
    if object.is_callable() {
        let service = object.service();
        let result = service
            .instance
            .notify(object.id, object.state.get(), notice);
        check_flow(core, flow, notice.name(object.id), result);
    }
}

/// A callback about a socket has returned. A fault is logged; after a panic the socket is opened anew.
pub(crate) fn check_socket(
    core: &Core,
    socket: &Socket,
    callback: &str,
    result: Result<(), CallbackError>,
) {
    if let Err(error) = result {
        let object = &socket.object;
        log_fault(&object.service(), object.id, callback, error);
        if error.0 == PP_E_PANIC && object.mark(Flag::SUPPRESSED) {
            core.queue(object.id, Cause::Renew);
        }
    }
}

/// A callback about a flow has returned. A fault ends the flow, and nothing but the flow.
pub(crate) fn check_flow(
    core: &Core,
    flow: &Flow,
    callback: &str,
    result: Result<(), CallbackError>,
) {
    if let Err(error) = result {
        let object = &flow.object;
        log_fault(&object.service(), object.id, callback, error);
        if object.mark(Flag::SUPPRESSED) {
            let close = Cause::Close(Reason::PluginFault);
            core.queue(object.id, close);
        }
    }
}

/// A callback of a stream failed: the stream ends, and the plugin is named.
pub(crate) fn fault(stream: &Stream, callback: &str, reason: &str) {
    let service = stream.object.service();
    let name = service.instance.name();
    tracing::warn!(
        plugin = name.plugin,
        instance = name.instance,
        generation = name.generation,
        callback,
        stream = %stream.object.id,
        reason,
        "callback failed, stream closed"
    );
    stream.end(Reason::PluginFault, false, Some(reason.into()));
}

/// Names a callback about a socket or a flow that failed.
pub(crate) fn log_fault(service: &Service, about: Id, callback: &str, error: CallbackError) {
    let name = service.instance.name();
    tracing::warn!(
        plugin = name.plugin,
        instance = name.instance,
        generation = name.generation,
        callback,
        %about,
        reason = %error,
        "callback failed"
    );
}
