//! Byte streams: the traits of a handler. `context.rs` has the stream inside a callback.

mod context;

pub use context::{Close, Output, Reserved, Stream};
pub(crate) use context::{attribute, close};

use crate::end::End;
use crate::handler::Handler;
use crate::info::StreamInfo;
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// A handler of byte streams: TCP and Unix connections, and streams that it dialled.
///
/// An error of a callback closes its stream and is logged. So does a panic; then the state is
/// leaked, not dropped. Callbacks of one stream never overlap, nor do those of streams of one
/// group.
pub trait StreamHandler: Handler {
    /// The state of a stream; `()` costs nothing.
    type State: Send + 'static;

    /// A stream opens. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed, and `closed` is not called.
    fn open(&self, stream: &mut Stream<'_>, info: &StreamInfo<'_>) -> Result<Self::State>;

    /// Delivers received bytes, after those that earlier calls left unconsumed. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_data(
        &self,
        state: &mut Self::State,
        stream: &mut Stream<'_>,
        input: Input<'_>,
    ) -> Result<Used>;

    /// Output fell to the low watermark after it was above the high one. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_writable(&self, state: &mut Self::State, stream: &mut Stream<'_>) -> Result<()> {
        let _ = (state, stream);
        Ok(())
    }

    /// [`StreamId::wake`](crate::StreamId::wake) was called. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_wake(&self, state: &mut Self::State, stream: &mut Stream<'_>, bits: u64) -> Result<()> {
        let _ = (state, stream, bits);
        Ok(())
    }

    /// A timer of the stream fired. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_timer(&self, state: &mut Self::State, stream: &mut Stream<'_>, key: u32) -> Result<()> {
        let _ = (state, stream, key);
        Ok(())
    }

    /// A dial of the stream failed. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_dial_failed(
        &self,
        state: &mut Self::State,
        stream: &mut Stream<'_>,
        tag: u64,
        why: Status,
    ) -> Result<()> {
        let _ = (state, stream, tag, why);
        Ok(())
    }

    /// The end: called once for each stream that `open` accepted. `[io]`
    fn closed(&self, state: Self::State, stream: &mut Stream<'_>, reason: End) {
        let _ = (state, stream, reason);
    }
}

/// A handler whose streams need a callback when they drain. Without it the host closes a stream as
/// soon as it is idle.
pub trait DrainStream: StreamHandler {
    /// The daemon, service or instance ends: finish the protocol and close by the deadline. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_drain(
        &self,
        state: &mut Self::State,
        stream: &mut Stream<'_>,
        deadline: Moment,
    ) -> Result<()>;
}

/// A handler whose live streams can migrate to another generation of the plugin.
pub trait MigrateStream: StreamHandler {
    /// Writes the state of one stream, which stays open if the other side refuses it. `[io]`
    ///
    /// # Errors
    ///
    /// The stream stays where it is.
    fn export_state(
        &self,
        state: &Self::State,
        stream: &mut Stream<'_>,
        to: &mut StateWriter<'_>,
    ) -> Result<()>;

    /// Takes over a stream with its state as of `version`. `[io]`
    ///
    /// # Errors
    ///
    /// The stream stays where it was.
    fn import_state(
        &self,
        stream: &mut Stream<'_>,
        info: &StreamInfo<'_>,
        version: u32,
        from: &mut StateReader<'_>,
    ) -> Result<Self::State>;
}

/// The input of `on_data`.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    fin: bool,
}

impl<'a> Input<'a> {
    /// All received bytes that are not consumed yet.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the peer has ended its direction: no further byte follows.
    #[must_use]
    pub const fn fin(&self) -> bool {
        self.fin
    }

    /// The first line with its line feed, if complete; consumed by `Used::bytes(line.len())`.
    #[must_use]
    pub fn line(&self) -> Option<&'a [u8]> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        self.bytes.get(..=end)
    }

    /// Consumes nothing; calls again when more bytes have arrived.
    #[must_use]
    pub const fn more(&self) -> Used {
        Used::none().want(self.bytes.len() + 1)
    }

    /// Consumes all bytes.
    #[must_use]
    pub const fn all(&self) -> Used {
        Used::bytes(self.bytes.len())
    }

    pub(crate) const fn new(bytes: &'a [u8], fin: bool) -> Self {
        Self { bytes, fin }
    }
}

/// The result of `on_data`: the number of bytes consumed, and the least number of bytes for the
/// next call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(crate) bytes: usize,
    pub(crate) want: usize,
}

impl Used {
    /// Consumes this many bytes; the rest is delivered again with the bytes that follow.
    #[must_use]
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, want: 1 }
    }

    /// Consumes nothing.
    #[must_use]
    pub const fn none() -> Self {
        Self::bytes(0)
    }

    /// Calls again only with at least this many unconsumed bytes. Beyond 1 MiB the host closes the
    /// stream.
    #[must_use]
    pub const fn want(mut self, bytes: usize) -> Self {
        self.want = bytes;
        self
    }
}
