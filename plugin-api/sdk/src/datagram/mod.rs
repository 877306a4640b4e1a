//! Datagram sockets: the traits of a handler. `context.rs` has the socket inside a callback,
//! `batch.rs` received datagrams, `outgoing.rs` datagrams to send.

mod batch;
mod context;
mod outgoing;

pub use batch::{Batch, Datagram, Datagrams, Peer};
pub use context::Socket;
pub(crate) use outgoing::reply_each;
pub use outgoing::{Outgoing, Sent};

use crate::address::Address;
use crate::end::End;
use crate::handler::Handler;
use crate::info::SocketInfo;
use crate::status::{Result, Status};
use crate::time::Moment;

/// A handler of datagram sockets: UDP and Unix, and sockets that it dialled.
///
/// A listener may have several sockets, each with its own state. An error of a callback is logged
/// and counted as a fault of the plugin; the socket stays open. After a panic the state is leaked,
/// and no further callback of the socket runs.
pub trait SocketHandler: Handler {
    /// The state of a socket; `()` costs nothing.
    type State: Send + 'static;

    /// Deliver datagrams that were longer than the host's buffer, instead of dropping them.
    const WANT_TRUNCATED: bool = false;

    /// A socket opens. `[io]`
    ///
    /// # Errors
    ///
    /// The socket is not served.
    fn open(&self, socket: &mut Socket<'_>, info: &SocketInfo<'_>) -> Result<Self::State>;

    /// Delivers a batch of datagrams as received from the system. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_datagrams(
        &self,
        state: &mut Self::State,
        socket: &mut Socket<'_>,
        batch: Batch<'_>,
    ) -> Result<()>;

    /// There is room again after a short send. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_writable(&self, state: &mut Self::State, socket: &mut Socket<'_>) -> Result<()> {
        let _ = (state, socket);
        Ok(())
    }

    /// The system refused a datagram to `to`, at once or by a later ICMP message; `errno` as in
    /// `<errno.h>`. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_send_error(
        &self,
        state: &mut Self::State,
        socket: &mut Socket<'_>,
        to: Address,
        errno: i32,
    ) -> Result<()> {
        let _ = (state, socket, to, errno);
        Ok(())
    }

    /// [`SocketId::wake`](crate::SocketId::wake) was called. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_wake(&self, state: &mut Self::State, socket: &mut Socket<'_>, bits: u64) -> Result<()> {
        let _ = (state, socket, bits);
        Ok(())
    }

    /// A timer of the socket fired. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_timer(&self, state: &mut Self::State, socket: &mut Socket<'_>, key: u32) -> Result<()> {
        let _ = (state, socket, key);
        Ok(())
    }

    /// A dial of the socket failed. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_dial_failed(
        &self,
        state: &mut Self::State,
        socket: &mut Socket<'_>,
        tag: u64,
        why: Status,
    ) -> Result<()> {
        let _ = (state, socket, tag, why);
        Ok(())
    }

    /// The end: called once for each socket that `open` accepted. `[io]`
    fn closed(&self, state: Self::State, socket: &mut Socket<'_>, reason: End) {
        let _ = (state, socket, reason);
    }
}

/// A handler whose sockets need a callback when they drain.
pub trait DrainSocket: SocketHandler {
    /// The daemon, service or instance ends: finish by the deadline. `[io]`
    ///
    /// # Errors
    ///
    /// Logged and counted as a fault of the plugin.
    fn on_drain(
        &self,
        state: &mut Self::State,
        socket: &mut Socket<'_>,
        deadline: Moment,
    ) -> Result<()>;
}
