//! The callbacks that streams, sockets and flows have in common. A stream whose callback failed ends; a flow too; a socket
//! goes on, but after a panic only with a new state.

use polyport_abi::PP_E_PANIC;
use polyport_host::callbacks::Notice;
use polyport_host::id::{Id, Kind};
use polyport_host::status::CallbackError;

use crate::core::{Cause, Core};
use crate::object::{Flag, Object, Stream};
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

/// Notifies the handler of a socket or a flow, unless it may not be called.
pub(crate) fn notify(core: &Core, object: &Object, notice: Notice) {
    if object.is_callable() {
        let service = object.service();
        let result = service
            .instance
            .notify(object.id, object.state.get(), notice);
        check(core, object, notice.name(object.id), result);
    }
}

/// A callback about a socket or a flow has returned. A fault ends a flow, and nothing but the flow; a socket goes on, but
/// after a panic it is opened anew.
pub(crate) fn check(
    core: &Core,
    object: &Object,
    callback: &str,
    result: Result<(), CallbackError>,
) {
    let Err(error) = result else { return };
    log_fault(&object.service(), object.id, callback, error);
    let cause = match object.id.kind() {
        Some(Kind::Flow) => Cause::Close(Reason::PluginFault),
        _ if error.0 == PP_E_PANIC => Cause::Renew,
        _ => return,
    };
    if object.mark(Flag::SUPPRESSED) {
        core.queue(object.id, cause);
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
