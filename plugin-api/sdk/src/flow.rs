//! Flows: the datagrams between two addresses, with a state for each flow.

use std::marker::PhantomData;
use std::time::Duration;

use polyport_abi::{PP_CLOSE_FLUSH, PpId};

use crate::datagram::{Batch, Datagram, Outgoing, Sent, Socket, reply_each};
use crate::end::End;
use crate::handler::Handler;
use crate::ids::{FlowId, SocketId, StreamId, Target};
use crate::info::FlowInfo;
use crate::owner::owner_functions;
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::stream::{Stream, close};
use crate::time::Moment;

/// A handler with a state for each UDP peer. A flow begins with the first datagram of an address,
/// and ends by [`Flow::close`], the idle timeout or the socket's end.
///
/// An error or a panic of a callback ends its flow; after a panic the state is leaked.
pub trait FlowHandler: Handler {
    /// The state of a flow.
    type State: Send + 'static;

    /// A flow ends after this time without a datagram; zero: the service's idle timeout.
    const IDLE_TIMEOUT: Duration = Duration::ZERO;
    /// The limit of flows of one socket; beyond it the longest idle flow ends; 0: 65536.
    const FLOWS_MAX: u32 = 0;

    /// A flow opens; its first datagrams follow. `[io]`
    ///
    /// # Errors
    ///
    /// The flow does not open and its datagrams are dropped.
    fn open(&self, flow: &mut Flow<'_>, info: &FlowInfo<'_>) -> Result<Self::State>;

    /// Delivers a batch of datagrams of this flow. `[io]`
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

    /// [`FlowId::wake`] was called. `[io]`
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

    /// A dial of the flow failed. `[io]`
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

    /// The end: called once for each flow that `open` accepted. `[io]`
    fn closed(&self, state: Self::State, flow: &mut Flow<'_>, reason: End) {
        let _ = (state, flow, reason);
    }
}

/// A handler whose flows need a callback when they drain. Without it a flow does not delay a drain.
pub trait DrainFlow: FlowHandler {
    /// The daemon, service or instance ends: finish the protocol and close by the deadline. `[io]`
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

/// A handler whose live flows can migrate to another generation of the plugin.
pub trait MigrateFlow: FlowHandler {
    /// Writes the state of one flow, which stays open if the other side refuses it. `[io]`
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

/// A flow inside a callback; the value cannot leave it. Its methods need the `[io]` context.
#[derive(Debug)]
pub struct Flow<'a> {
    id: FlowId,
    socket: SocketId,
    /// Valid for one callback, on its thread.
    callback: PhantomData<(&'a (), *mut ())>,
}

impl Flow<'_> {
    /// Its id, for [`FlowId::wake`] or a [`mailbox`](crate::mailbox::mailbox()). `[any]`
    #[must_use]
    pub const fn id(&self) -> FlowId {
        self.id
    }

    /// Replies to each datagram of the batch for which `answer` returns bytes, without an
    /// allocation. Replies that do not fit are dropped. `[io]`
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

    /// Sends one datagram to the peer of the flow; returns false if there was no room. `[io]`
    ///
    /// # Errors
    ///
    /// `DENIED` if it may not be sent, `GONE` after the end.
    pub fn send(&mut self, data: &[u8]) -> Result<bool> {
        let datagram = Outgoing::to_flow(self.id, data);
        Ok(self.socket().send(&[datagram])? == 1)
    }

    /// The socket of the flow. `[io]`
    #[must_use]
    pub fn socket(&mut self) -> Socket<'_> {
        Socket::new(self.socket.0)
    }

    /// Closes the flow after the callback has returned; `why` is logged. `[io]`
    ///
    /// # Errors
    ///
    /// `GONE` after the end.
    pub fn close(&mut self, why: &str) -> Result<()> {
        close(self.id.0, PP_CLOSE_FLUSH, why)
    }

    /// A stream of the group, such as one that this flow dialled. `[io]`
    #[must_use]
    pub fn group_stream(&mut self, id: StreamId) -> Stream<'_> {
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
