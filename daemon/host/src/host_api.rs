//! The desks: what the daemon answers when a plugin asks, as safe traits.
//!
//! [`HostApi`] is a worker's and answers in `[io]` callbacks, [`HookApi`] is an instance's and answers in `[ctl]` hooks.
//! All methods take `&self`, and none may call back into a plugin: the caller is in the middle of one.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::id::Id;
use crate::status::HostError;

pub use crate::services::Payloads;

/// Where output stands after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Go on.
    Below,
    /// Taken, and above the high watermark.
    AboveHigh,
}

/// How a handler closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// After what is queued was sent.
    Flush,
    /// What is queued is dropped.
    Now,
    /// What is queued is dropped and the peer gets a reset.
    Reset,
}

/// Where to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DialTarget {
    /// A TCP stream.
    Stream(SocketAddr),
    /// A connected UDP socket.
    Datagram(SocketAddr),
    /// A Unix stream; a leading NUL byte means an abstract name.
    Unix(PathBuf),
    /// A connected Unix datagram socket.
    Unixgram(PathBuf),
}

/// A wish to connect.
#[derive(Debug, Clone)]
pub struct Dial {
    /// Where to.
    pub target: DialTarget,
    /// How long it may take.
    pub timeout: Duration,
    /// The plugin's own mark, which comes back with the result.
    pub tag: u64,
}

/// Whom a datagram goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendTo {
    /// The sender of a datagram of the running batch, or a flow.
    Peer(Id),
    /// An address.
    Address(SocketAddr),
    /// Whom the socket was dialled to.
    Connected,
}

/// Datagrams to send that go the same way.
#[derive(Debug, Clone)]
pub struct OutgoingRun<'a> {
    /// Whom to.
    pub to: SendTo,
    /// The local address to send from, if not the one that the peer asked.
    pub from: Option<IpAddr>,
    /// What they say: at least one, [`HostError::Invalid`] where a claim makes no sense.
    pub payloads: Payloads<'a>,
}

/// Datagrams to send, by runs: a look-up checks what the plugin claims.
pub trait OutgoingList {
    /// How many.
    fn len(&self) -> usize;
    /// Is there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The one at `first`, and those after it that go the same way.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when what the plugin passed there makes no sense, or nothing is there.
    fn run(&self, first: usize) -> Result<OutgoingRun<'_>, HostError>;
}

/// A worker's desk. `caller` is the id whose callback runs; methods act on it or on its family.
pub trait HostApi {
    /// The time of this turn, nanoseconds of the monotonic clock.
    fn now(&self) -> u64;
    /// Queues bytes on a stream.
    ///
    /// # Errors
    /// Gone, Full (nothing was taken), Closing.
    fn write(
        &self,
        caller: Id,
        stream: Id,
        pieces: &[IoSlice<'_>],
        fin: bool,
    ) -> Result<Level, HostError>;
    /// Would `write` take so many bytes?
    ///
    /// # Errors
    /// As `write`.
    fn room(&self, caller: Id, stream: Id, len: usize) -> Result<(), HostError>;
    /// Stops or starts the reads of a stream.
    ///
    /// # Errors
    /// Gone.
    fn set_reads(&self, caller: Id, stream: Id, on: bool) -> Result<(), HostError>;
    /// Sets watermarks, bytes.
    ///
    /// # Errors
    /// Gone, Invalid.
    fn set_watermarks(
        &self,
        caller: Id,
        stream: Id,
        low: usize,
        high: usize,
    ) -> Result<(), HostError>;
    /// Closes after the running callback.
    ///
    /// # Errors
    /// Gone, Denied (a listener's socket).
    fn close(&self, caller: Id, id: Id, how: CloseHow, why: &str) -> Result<(), HostError>;
    /// A fact by name, as bytes.
    ///
    /// # Errors
    /// Gone, Unsupported (no such fact), Denied (it has no value here).
    fn attribute(&self, caller: Id, id: Id, key: &str) -> Result<Vec<u8>, HostError>;
    /// Sets a timer.
    ///
    /// # Errors
    /// Gone, Full.
    fn timer_set(
        &self,
        caller: Id,
        owner: Id,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError>;
    /// Cancels a timer.
    ///
    /// # Errors
    /// Gone.
    fn timer_cancel(&self, caller: Id, owner: Id, key: u32) -> Result<(), HostError>;
    /// Connects.
    ///
    /// # Errors
    /// Gone, Full, Closing, Invalid.
    fn dial(&self, caller: Id, owner: Id, dial: Dial) -> Result<(), HostError>;
    /// Sends datagrams; returns how many were taken.
    ///
    /// # Errors
    /// Gone; Invalid or Denied for the first one that cannot be addressed.
    fn send_datagrams(
        &self,
        caller: Id,
        socket: Id,
        list: &dyn OutgoingList,
    ) -> Result<usize, HostError>;
}

/// An instance's desk.
pub trait HookApi {
    /// Sets a timer of the instance.
    ///
    /// # Errors
    /// Full.
    fn timer_set(
        &self,
        key: u32,
        after: Duration,
        period: Option<Duration>,
    ) -> Result<(), HostError>;
    /// Cancels a timer of the instance.
    fn timer_cancel(&self, key: u32);
}
