//! The callbacks that streams, sockets and flows have in common: one function each, which takes the table that serves the
//! kind of the id. Callbacks that only one kind has stand in `stream` and `datagram`.

use polyport_abi as abi;
use polyport_abi::PpDatagram;

use crate::boundary::{Callback, IoCall};
use crate::datagram::{Batch, FlowInfo, SocketInfo};
use crate::id::{Id, Kind};
use crate::instance::Instance;
use crate::state_io::{collect_state, supply_state};
use crate::status::{CallbackError, DialFailure};
use crate::stream::{Address, Consumed, DataError, PluginState, StreamInfo};
use crate::transfer::STATE_MAX;

/// An event that a handler is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// `on_writable`.
    Writable,
    /// `on_wake` with these bits.
    Wake(u64),
    /// `on_timer` of this key.
    Timer(u32),
    /// `on_drain`; the deadline is a time of the monotonic clock, nanoseconds.
    Drain(u64),
    /// `on_dial_failed`.
    DialFailed {
        /// The plugin's mark on the dial.
        tag: u64,
        /// Why the dial failed.
        why: DialFailure,
    },
    /// `closed` (`socket_closed` of a socket) with a `PP_END_*`. The last call for the id: the plugin frees the state.
    Closed(u32),
}

impl Notice {
    fn callback(self, id: Id) -> Callback {
        match self {
            Self::Writable => Callback::OnWritable,
            Self::Wake(_) => Callback::OnWake,
            Self::Timer(_) => Callback::OnTimer,
            Self::Drain(_) => Callback::OnDrain,
            Self::DialFailed { .. } => Callback::OnDialFailed,
            Self::Closed(_) if id.kind() == Some(Kind::Socket) => Callback::SocketClosed,
            Self::Closed(_) => Callback::Closed,
        }
    }

    /// The name of the member in the table that serves the id's kind.
    #[must_use]
    pub fn name(self, id: Id) -> &'static str {
        self.callback(id).name()
    }
}

/// What is known of a stream, socket or flow when it opens or is imported.
#[derive(Debug, Clone, Copy)]
pub enum Info<'a> {
    /// Of a stream.
    Stream(StreamInfo<'a>),
    /// Of a socket.
    Socket(SocketInfo<'a>),
    /// Of a flow.
    Flow(FlowInfo),
}

/// A member of the table that serves the id's kind: `None` where the handler has no such table or function. The
/// members of stream, socket and flow tables may differ in name; `-` stands for a table that has none.
macro_rules! member {
    (@ $table:expr, -) => { None };
    (@ $table:expr, $member:ident) => { $table.as_ref().and_then(|ops| ops.$member) };
    ($instance:expr, $id:expr, $stream:tt, $socket:tt, $flow:tt) => {
        match $id.kind() {
            Some(Kind::Stream) => member!(@ $instance.handler().stream, $stream),
            Some(Kind::Socket) => member!(@ $instance.handler().socket, $socket),
            Some(Kind::Flow) => member!(@ $instance.handler().flow, $flow),
            _ => None,
        }
    };
    ($instance:expr, $id:expr, $all:ident) => { member!($instance, $id, $all, $all, $all) };
}

impl Instance {
    /// `open`, `socket_open` or `flow_open`. A handler without the function gets no state.
    ///
    /// # Errors
    /// The handler refuses the stream, socket or flow.
    pub fn open(&self, id: Id, info: &Info<'_>) -> Result<PluginState, CallbackError> {
        let mut state = PluginState::NONE;
        macro_rules! call {
            ($callback:ident, $ops:ident, $open:ident, $info:ident) => {{
                let Some(open) = member!(@ self.handler().$ops, $open) else {
                    return Ok(PluginState::NONE);
                };
                let info = $info.to_abi(0);
                let _call = IoCall::enter(Callback::$callback, self.index(), id);
                // SAFETY: a function of a vetted table, with the instance's own `self` and borrowed arguments that
                // outlive the call; exclusive for this id, as the header's [io] demands, because the worker makes one
                // call at a time.
                unsafe { open(self.this(), id.raw(), &raw const info, &raw mut state.0) }
            }};
        }
        let status = match info {
            Info::Stream(info) => call!(Open, stream, open, info),
            Info::Socket(info) => call!(SocketOpen, socket, socket_open, info),
            Info::Flow(info) => call!(FlowOpen, flow, flow_open, info),
        };
        self.check(status).map(|_| state)
    }

    /// Calls the handler's function for this event; a handler without the function is not called.
    ///
    /// # Errors
    /// The handler fails.
    pub fn notify(&self, id: Id, state: PluginState, notice: Notice) -> Result<(), CallbackError> {
        let (this, state, raw) = (self.this(), state.0, id.raw());
        macro_rules! call {
            ($member:expr $(, $argument:expr)*) => {{
                let Some(function) = $member else {
                    return Ok(());
                };
                let _call = IoCall::enter(notice.callback(id), self.index(), id);
                // SAFETY: a function of a vetted table, with the instance's own `self` and the state that its `open`
                // or `import_state` returned for this id; exclusive for the id, because the worker makes one call at
                // a time, and `closed` last.
                unsafe { function(this, state, raw $(, $argument)*) }
            }};
        }
        let status = match notice {
            Notice::Writable => call!(member!(self, id, on_writable, on_writable, -)),
            Notice::Wake(bits) => call!(member!(self, id, on_wake), bits),
            Notice::Timer(key) => call!(member!(self, id, on_timer), key),
            Notice::Drain(deadline) => call!(member!(self, id, on_drain), deadline),
            Notice::DialFailed { tag, why } => {
                call!(member!(self, id, on_dial_failed), tag, why.status())
            }
            Notice::Closed(reason) => {
                call!(member!(self, id, closed, socket_closed, closed), reason)
            }
        };
        self.check(status).map(drop)
    }

    /// `on_datagrams` of a socket or flow.
    ///
    /// # Errors
    /// The handler fails.
    #[inline]
    pub fn datagrams(
        &self,
        id: Id,
        state: PluginState,
        batch: Batch<'_>,
    ) -> Result<(), CallbackError> {
        let Some(on_datagrams) = member!(self, id, -, on_datagrams, on_datagrams) else {
            return Ok(());
        };
        let (first, count) = (batch.datagrams.as_ptr(), batch.datagrams.len());
        let stride = size_of::<PpDatagram>();
        let _call = IoCall::enter(Callback::OnDatagrams, self.index(), id);
        // SAFETY: as in `notify`; the batch borrows its bytes until the call has returned.
        let status = unsafe { on_datagrams(self.this(), state.0, id.raw(), first, count, stride) };
        self.check(status).map(drop)
    }

    /// `export_state` of a stream or flow; the state is as it was afterwards, unless the handler panicked.
    ///
    /// # Errors
    /// The handler fails, or has no such function, or writes more than [`STATE_MAX`] (`PP_E_FULL`).
    pub fn export_state(&self, id: Id, state: PluginState) -> Result<Vec<u8>, CallbackError> {
        let export = member!(self, id, export_state, -, export_state)
            .ok_or(CallbackError(abi::PP_E_UNSUPPORTED))?;
        let _call = IoCall::enter(Callback::ExportState, self.index(), id);
        // SAFETY: as in `notify`; the sink is borrowed until the call has returned.
        let call = |sink| unsafe { export(self.this(), state.0, id.raw(), sink) };
        let (status, bytes) = collect_state(STATE_MAX, call);
        self.check(status).map(|_| bytes)
    }

    /// `import_state` of a stream or flow, instead of `open` or `flow_open`: `version` and `bytes` are what another
    /// instance exported.
    ///
    /// # Errors
    /// The handler fails, or has no such function.
    pub fn import_state(
        &self,
        id: Id,
        info: &Info<'_>,
        version: u32,
        bytes: &[u8],
    ) -> Result<PluginState, CallbackError> {
        let unsupported = CallbackError(abi::PP_E_UNSUPPORTED);
        let mut state = PluginState::NONE;
        let (this, raw, into) = (self.this(), id.raw(), &raw mut state.0);
        macro_rules! call {
            ($ops:ident, $info:ident) => {{
                let import = member!(@ self.handler().$ops, import_state).ok_or(unsupported)?;
                let info = $info.to_abi(abi::PP_INFO_MIGRATED);
                let _call = IoCall::enter(Callback::ImportState, self.index(), id);
                supply_state(bytes, |source| {
                    // SAFETY: as in `open`; the source is borrowed until the call has returned.
                    unsafe { import(this, raw, &raw const info, version, source, into) }
                })
            }};
        }
        let status = match info {
            Info::Stream(info) => call!(stream, info),
            Info::Flow(info) => call!(flow, info),
            Info::Socket(_) => return Err(unsupported),
        };
        self.check(status).map(|_| state)
    }

    /// `on_data`.
    ///
    /// # Errors
    /// See [`DataError`].
    #[inline]
    pub fn data(
        &self,
        id: Id,
        state: PluginState,
        bytes: &[u8],
        fin: bool,
    ) -> Result<Consumed, DataError> {
        let Some(on_data) = self.handler().stream.as_ref().and_then(|ops| ops.on_data) else {
            return Ok(Consumed {
                used: bytes.len(),
                want: 1,
            });
        };
        let flags = if fin { abi::PP_DATA_FIN } else { 0 };
        let mut want = 1_usize;
        let used = {
            let _call = IoCall::enter(Callback::OnData, self.index(), id);
            // SAFETY: a function of a vetted table, with the instance's own `self`, the state that its `open` or
            // `import_state` returned for this id, and borrowed arguments that outlive the call; exclusive for this
            // id, as the header's [io] demands, because the worker makes one call at a time.
            unsafe {
                on_data(
                    self.this(),
                    state.0,
                    id.raw(),
                    bytes.as_ptr(),
                    bytes.len(),
                    flags,
                    &raw mut want,
                )
            }
        };
        match usize::try_from(used) {
            Ok(used) if used <= bytes.len() => Ok(Consumed {
                used,
                want: want.max(1),
            }),
            Ok(_) => Err(DataError::Overrun),
            Err(_) => {
                let status = i32::try_from(used).unwrap_or(abi::PP_E_FAIL);
                Err(DataError::Callback(self.error(status)))
            }
        }
    }

    /// `on_send_error`, with the system's `errno`.
    ///
    /// # Errors
    /// The handler fails.
    pub fn send_error(
        &self,
        id: Id,
        state: PluginState,
        to: Address,
        errno: i32,
    ) -> Result<(), CallbackError> {
        let Some(on_send_error) = member!(self, id, -, on_send_error, -) else {
            return Ok(());
        };
        let to = to.to_abi();
        let _call = IoCall::enter(Callback::OnSendError, self.index(), id);
        // SAFETY: a function of a vetted table, with the instance's own `self`, the state that its `socket_open` returned
        // for this id and a borrowed address; exclusive for the id, because the worker makes one call at a time.
        self.check(unsafe { on_send_error(self.this(), state.0, id.raw(), &raw const to, errno) })
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::ffi::c_void;

    use polyport_abi::{PP_OK, PpFlowOps, PpId, PpSocketOps, PpStatus, PpStreamOps};

    use std::sync::Arc;

    use super::*;
    use crate::generation::{Generation, Handler};

    thread_local! {
        static CALLS: RefCell<Vec<(&'static str, Id)>> = const { RefCell::new(Vec::new()) };
    }

    /// A callback that notes that it was called.
    macro_rules! note {
        ($name:literal $(, $argument:ty)*) => {{
            extern "C" fn noted(_: *mut c_void, _: *mut c_void, id: PpId $(, _: $argument)*) -> PpStatus {
                CALLS.with_borrow_mut(|calls| calls.push(($name, Id::from_raw(id))));
                PP_OK
            }
            Some(noted)
        }};
    }

    const STREAM: PpStreamOps = PpStreamOps {
        struct_size: 0,
        reserved: 0,
        open: None,
        on_data: None,
        on_writable: note!("stream writable"),
        on_wake: note!("stream wake", u64),
        on_timer: None,
        on_drain: None,
        on_dial_failed: None,
        export_state: None,
        import_state: None,
        closed: note!("stream closed", u32),
    };
    const SOCKET: PpSocketOps = PpSocketOps {
        struct_size: 0,
        flags: 0,
        socket_open: None,
        on_datagrams: None,
        on_writable: note!("socket writable"),
        on_send_error: None,
        on_wake: note!("socket wake", u64),
        on_timer: None,
        on_drain: None,
        on_dial_failed: None,
        socket_closed: note!("socket closed", u32),
    };
    const FLOW: PpFlowOps = PpFlowOps {
        struct_size: 0,
        flags: 0,
        idle_timeout: 0,
        flows_max: 0,
        reserved: 0,
        flow_open: None,
        on_datagrams: None,
        on_wake: note!("flow wake", u64),
        on_timer: None,
        on_drain: None,
        on_dial_failed: None,
        export_state: None,
        import_state: None,
        closed: note!("flow closed", u32),
    };

    #[test]
    fn callbacks_go_to_the_table_that_serves_the_kind_of_the_id() {
        let handler = Handler::from_tables("noting", Some(&STREAM), Some(&SOCKET), Some(&FLOW));
        let generation = Generation::from_handlers("tables", 1, vec![handler.clone()]);
        let instance = Instance::new(&Arc::default(), "one", generation, handler).unwrap();
        let mut expected = Vec::new();
        for (kind, names) in [
            (
                Kind::Stream,
                &["stream writable", "stream wake", "stream closed"][..],
            ),
            (
                Kind::Socket,
                &["socket writable", "socket wake", "socket closed"],
            ),
            (Kind::Flow, &["flow wake", "flow closed"]),
            (Kind::Instance, &[]),
        ] {
            let id = Id::new(kind, 0, 1, 1);
            let all = [
                Notice::Writable,
                Notice::Wake(1),
                Notice::Timer(1),
                Notice::Closed(1),
            ];
            for notice in all {
                assert_eq!(instance.notify(id, PluginState::NONE, notice), Ok(()));
            }
            expected.extend(names.iter().map(|name| (*name, id)));
        }
        assert_eq!(CALLS.take(), expected);
    }
}
