//! Flows: the datagrams between two addresses, each with a state of its own, for handlers that want
//! them.

use std::marker::PhantomData;
use std::time::Duration;

use polyport_abi::{PP_CLOSE_FLUSH, PpId};

use crate::datagram::{Batch, Datagram, Outgoing, Sent, Socket, reply_each};
use crate::end::End;
use crate::handler::Handler;
use crate::ids::{FlowId, SocketId, StreamId, Target};
use crate::info::FlowInfo;
use crate::outside::owner_functions;
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::stream::{Stream, close};
use crate::time::Moment;

/// A handler that tells its UDP peers apart. A flow begins with the first datagram of an address,
/// and ends by [`Flow::close`], the idle timeout or the socket's end.
///
/// A callback that returns an error or panics ends its flow; after a panic the state is leaked.
pub trait FlowHandler: Handler {
    /// What a flow remembers.
    type State: Send + 'static;

    /// A flow ends when nothing came for so long; zero: the service's idle timeout.
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
    /// Flows of one socket; beyond it the one that was idle longest ends; 0: 65536.
    const FLOWS_MAX: u32 = 0;

    /// A flow begins; its first datagrams follow. `[io]`
    ///
    /// # Errors
    ///
    /// The flow is not begun and its datagrams are dropped.
    fn open(&self, flow: &mut Flow<'_>, info: &FlowInfo<'_>) -> Result<Self::State>;

    /// Datagrams of this flow have come. `[io]`
    ///
    /// # Errors
    ///
    /// The flow ends.
    fn on_datagrams(
        &self,
        state: &mut Self::State,
        flow: &mut Flow<'_>,
        batch: Batch<'_>,
    ) -> Result<()>;

    /// Somebody called [`FlowId::wake`]. `[io]`
    ///
    /// # Errors
    ///
    /// The flow ends.
    fn on_wake(&self, state: &mut Self::State, flow: &mut Flow<'_>, bits: u64) -> Result<()> {
        let _ = (state, flow, bits);
        Ok(())
    }

    /// A timer of the flow fired. `[io]`
    ///
    /// # Errors
    ///
    /// The flow ends.
    fn on_timer(&self, state: &mut Self::State, flow: &mut Flow<'_>, key: u32) -> Result<()> {
        let _ = (state, flow, key);
        Ok(())
    }

    /// A dial of the flow came to nothing. `[io]`
    ///
    /// # Errors
    ///
    /// The flow ends.
    fn on_dial_failed(
        &self,
        state: &mut Self::State,
        flow: &mut Flow<'_>,
        tag: u64,
        why: Status,
    ) -> Result<()> {
        let _ = (state, flow, tag, why);
        Ok(())
    }

    /// The end: once for each flow that `open` accepted. `[io]`
    fn closed(&self, state: Self::State, flow: &mut Flow<'_>, reason: End) {
        let _ = (state, flow, reason);
    }
}

/// A handler whose flows have something to say when they are drained. Without this a flow does not
/// hold up a drain.
pub trait DrainFlow: FlowHandler {
    /// The daemon, service or instance ends; say goodbye and close by the deadline. `[io]`
    ///
    /// # Errors
    ///
    /// The flow ends.
    fn on_drain(
        &self,
        state: &mut Self::State,
        flow: &mut Flow<'_>,
        deadline: Moment,
    ) -> Result<()>;
}

/// A handler whose live flows can move to another generation of the plugin.
pub trait MigrateFlow: FlowHandler {
    /// Writes the state of one flow, which goes on if the other side refuses it. `[io]`
    ///
    /// # Errors
    ///
    /// The flow stays where it is.
    fn export_state(
        &self,
        state: &Self::State,
        flow: &mut Flow<'_>,
        to: &mut StateWriter<'_>,
    ) -> Result<()>;

    /// Takes over a flow with its state as of `version`. `[io]`
    ///
    /// # Errors
    ///
    /// The flow stays where it was.
    fn import_state(
        &self,
        flow: &mut Flow<'_>,
        info: &FlowInfo<'_>,
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Self::State>;
}

/// A flow inside a callback; it cannot leave it. What needs the `[io]` context is done here.
#[derive(Debug)]
pub struct Flow<'a> {
    id: FlowId,
    socket: SocketId,
    /// Lives for one callback, on its thread.
    callback: PhantomData<(&'a (), *mut ())>,
}

impl Flow<'_> {
    /// Its id, to be kept for [`FlowId::wake`] or a [`mailbox`](crate::mailbox::mailbox()). `[any]`
    #[must_use]
    pub const fn id(&self) -> FlowId {
        self.id
    }

    /// Answers each datagram of the batch for which `answer` has something to say, without an
    /// allocation. What there is no room for is dropped. `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if none may be sent, `GONE` after the end.
    pub fn reply_each<'b>(
        &mut self,
        batch: Batch<'b>,
        answer: impl FnMut(Datagram<'b>) -> Option<&'b [u8]>,
    ) -> Result<Sent> {
        reply_each(self.socket.0, Some(self.id), batch, answer)
    }

    /// Sends one datagram to the peer of the flow; false: there was no room. `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if it may not be sent, `GONE` after the end.
    pub fn send(&mut self, data: &[u8]) -> Result<bool> {
        let datagram = Outgoing::to_flow(self.id, data);
        Ok(self.socket().send(&[datagram])? == 1)
    }

    /// The socket that it runs over. `[io]`
    #[must_use]
    pub fn socket(&mut self) -> Socket<'_> {
        Socket::new(self.socket.0)
    }

    /// Ends the flow after the callback returned; `why` goes to the log. `[io]`
    ///
    /// # Errors
    ///
    /// `GONE` after the end.
    pub fn close(&mut self, why: &str) -> Result<()> {
        close(self.id.0, PP_CLOSE_FLUSH, why)
    }

    /// A stream of the family, such as one that this flow dialled. `[io]`
    #[must_use]
    pub fn relative(&mut self, id: StreamId) -> Stream<'_> {
        Stream::new(id.0)
    }

    owner_functions!("[io]");

    pub(crate) const fn new(id: PpId, socket: SocketId) -> Self {
        Self {
            id: FlowId(id),
            socket,
            callback: PhantomData,
        }
    }
}

impl Target for Flow<'_> {
    fn raw_id(&self) -> u64 {
        self.id.0
    }
}
