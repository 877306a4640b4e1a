//! Migration of living streams and flows to another instance: id, socket, unread input, unsent output and timers stay;
//! the handler's state goes over by export and import.

use std::rc::Rc;
use std::sync::Arc;

use polyport_abi::{PP_E_PANIC, PP_END_MIGRATED};
use polyport_host::callbacks::{Info, Notice};
use polyport_host::status::CallbackError;
use polyport_host::stream::PluginState;
use polyport_host::transfer::{TransferMode, stream_transfer};

use super::{fault, log_fault};
use crate::core::{Core, Effect};
use crate::object::{Flow, Object, Socket, Stream};
use crate::service::Service;

/// Why an object stays with its instance.
#[derive(Debug)]
pub(crate) enum NotMoved {
    /// It cannot move, or not now.
    Unable,
    /// This callback failed.
    Failed(&'static str, CallbackError),
    /// The handler panicked in `export_state`, so the object has to end.
    Ended,
}

/// An import that has succeeded, and is not committed yet.
struct Imported {
    state: PluginState,
    effects: Vec<Effect>,
}

/// Moves streams to another service of the same name: all of them, or none. The streams are the members of a group, or
/// one that has no group.
///
/// # Errors
/// Nothing has moved.
pub(crate) fn transfer_streams(
    core: &Core,
    streams: &[Rc<Stream>],
    next: &Arc<Service>,
) -> Result<(), NotMoved> {
    let mut exported = Vec::new();
    for stream in streams {
        exported.push(export(stream, next)?);
    }
    // An export may have dialled, and its result belongs to the old instance.
    let dials = |stream: &Rc<Stream>| {
        let group = stream.object.group.borrow();
        group.as_ref().is_some_and(|group| group.has_pending())
    };
    if streams.iter().any(dials) {
        return Err(NotMoved::Unable);
    }
    let mut imported = Vec::new();
    for (stream, bytes) in streams.iter().zip(&exported) {
        match import(core, stream, next, bytes.as_deref()) {
            Ok(one) => imported.push(one),
            Err(error) => {
                roll_back(core, streams, next, &imported);
                return Err(NotMoved::Failed("import_state", error));
            }
        }
    }
    let mut left = Vec::new();
    for (stream, one) in streams.iter().zip(&imported) {
        let object = &stream.object;
        let before = Arc::clone(&object.service());
        left.push((before, object.state.replace(one.state)));
        core.ids.reassign(object.id, next.instance.index());
        object.rebind(next);
    }
    for (stream, (before, state)) in streams.iter().zip(left) {
        notify_migrated(core, &stream.object, &before, state);
    }
    for (stream, one) in streams.iter().zip(imported) {
        core.apply(stream.object.id, one.effects);
    }
    Ok(())
}

/// The exported state of a stream; `None`: neither side has any.
fn export(stream: &Stream, next: &Service) -> Result<Option<Vec<u8>>, NotMoved> {
    let object = &stream.object;
    let service = object.service();
    let carry = stream_transfer(&service.instance, &next.instance);
    if !stream.is_settled() || carry == TransferMode::None {
        return Err(NotMoved::Unable);
    }
    if carry == TransferMode::Stateless {
        return Ok(None);
    }
    match service.instance.export_state(object.id, object.state.get()) {
        // The callback may have closed the stream.
        Ok(_) if stream.is_ending() => Err(NotMoved::Unable),
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.0 == PP_E_PANIC => {
            fault(stream, "export_state", &error.to_string());
            Err(NotMoved::Unable)
        }
        Err(error) => Err(NotMoved::Failed("export_state", error)),
    }
}

fn import(
    core: &Core,
    stream: &Stream,
    next: &Service,
    bytes: Option<&[u8]>,
) -> Result<Imported, CallbackError> {
    let (mut state, mut effects) = (PluginState::NONE, Vec::new());
    if let Some(bytes) = bytes {
        let id = stream.object.id;
        let info = Info::Stream(stream.info(&next.name, None));
        let version = stream.object.service().instance.handler().state_version;
        let call = || next.instance.import_state(id, &info, version, bytes);
        (state, effects) = core.call.stage(id, call)?;
    }
    Ok(Imported { state, effects })
}

/// Lets the new instance free what it has imported: the streams stay with the old one.
fn roll_back(core: &Core, streams: &[Rc<Stream>], next: &Service, imported: &[Imported]) {
    for (stream, one) in streams.iter().zip(imported) {
        notify_migrated(core, &stream.object, next, one.state);
    }
}

/// The last callback of an instance about an object that lives on with another one.
fn notify_migrated(core: &Core, object: &Object, service: &Service, state: PluginState) {
    let call = || {
        let notice = Notice::Closed(PP_END_MIGRATED);
        service.instance.notify(object.id, state, notice)
    };
    if let Err(error) = core.call.detach(object.id, call) {
        log_fault(service, object.id, "closed", error);
    }
}

/// Moves a flow with its state to a socket of another instance on the same port.
///
/// # Errors
/// The flow has not moved.
pub(crate) fn transfer_flow(
    core: &Core,
    flow: &Flow,
    from: &Rc<Socket>,
    to: &Rc<Socket>,
) -> Result<(), NotMoved> {
    let object = &flow.object;
    let (old, new) = (from.object.service(), to.object.service());
    let bytes = match old.instance.export_state(object.id, object.state.get()) {
        Ok(bytes) => bytes,
        Err(error) if error.0 == PP_E_PANIC => {
            log_fault(&old, object.id, "export_state", error);
            return Err(NotMoved::Ended);
        }
        Err(error) => return Err(NotMoved::Failed("export_state", error)),
    };
    if !object.is_callable() {
        return Err(NotMoved::Unable);
    }
    // Host calls of the import are answered as for the socket that the flow goes to.
    rebind_flow(core, flow, to);
    let (info, version) = (
        Info::Flow(flow.info()),
        old.instance.handler().state_version,
    );
    let import = || new.instance.import_state(object.id, &info, version, &bytes);
    match core.call.stage(object.id, import) {
        Ok((state, effects)) => {
            let left = object.state.replace(state);
            notify_migrated(core, object, &old, left);
            core.apply(object.id, effects);
            Ok(())
        }
        Err(error) => {
            rebind_flow(core, flow, from);
            Err(NotMoved::Failed("import_state", error))
        }
    }
}

/// Moves a flow to another socket of the same port; it keeps its id and its timers.
pub(crate) fn rebind_flow(core: &Core, flow: &Flow, to: &Rc<Socket>) {
    flow.move_to(to);
    let instance = flow.object.instance();
    core.ids.reassign(flow.object.id, instance);
}
