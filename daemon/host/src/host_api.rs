//! What `pp_host` does, as safe traits: a worker implements [`HostApi`] for `[io]` callbacks, a hook thread implements
//! [`HookApi`] for `[ctl]` hooks. All methods take `&self`, and none may call into a plugin: they run inside of a callback.

use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::id::Id;
use crate::status::HostError;

pub use crate::services::Payloads;

/// How full the output of a stream is after a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// At most at the high watermark.
    Below,
    /// Above the high watermark; the bytes were taken.
    AboveHigh,
}

/// How a handler closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseHow {
    /// After the queued bytes were sent.
    Flush,
    /// At once; queued bytes are dropped.
    Now,
    /// At once; queued bytes are dropped and the peer gets a reset.
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

/// A connection that a plugin asks for.
#[derive(Debug, Clone)]
pub struct Dial {
    /// The peer.
    pub target: DialTarget,
    /// How long connecting may take.
    pub timeout: Duration,
    /// The plugin's mark; the result carries it.
    pub tag: u64,
}

/// The receiver of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendTo {
    /// The sender of a datagram of the running batch, or a flow.
    Peer(Id),
    /// An address.
    Address(SocketAddr),
    /// The peer of a dialled socket.
    Connected,
}

/// Datagrams to send from one address to one receiver.
#[derive(Debug, Clone)]
pub struct OutgoingRun<'a> {
    /// The receiver.
    pub to: SendTo,
    /// The local address to send from; `None` for the one that the peer sent to.
    pub from: Option<IpAddr>,
    /// At least one; [`HostError::Invalid`] in the place of a slice that cannot be read.
    pub payloads: Payloads<'a>,
}

/// The datagrams of one `send_datagrams`, by runs. The plugin's arguments are checked when a run is read.
pub trait OutgoingList {
    /// How many.
    fn len(&self) -> usize;
    /// Is there none?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The run that begins with the datagram at `first`.
    ///
    /// # Errors
    /// [`HostError::Invalid`] when the plugin's arguments there are invalid, or `first` is past the end.
    fn run(&self, first: usize) -> Result<OutgoingRun<'_>, HostError>;
}

/// The functions that a worker answers. `caller` is the id whose callback runs; methods act on ids of its group.
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
    /// The value of an attribute, as bytes.
    ///
    /// # Errors
    /// Gone, Unsupported (no such attribute), Denied (it has no value here).
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
    /// Sends datagrams. Returns how many were taken.
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

/// The functions that a hook thread answers.
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
