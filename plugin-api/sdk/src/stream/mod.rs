//! Byte streams: what a handler does with them. What it may do to the one of the running callback
//! stands in `context.rs`.

mod context;

pub use context::{Close, Output, Reserved, Stream};
pub(crate) use context::{attribute, close};

use crate::end::End;
use crate::handler::Handler;
use crate::info::StreamInfo;
use crate::state::{StateReader, StateWriter};
use crate::status::{Result, Status};
use crate::time::Moment;

/// A handler that serves byte streams: TCP and Unix connections, and streams that it dialled.
///
/// A callback that returns an error ends its stream; the reason is logged. So does one that panics,
/// and then the state is leaked, not dropped. Callbacks of one stream never overlap, nor do those
/// of a stream and its parent.
pub trait StreamHandler: Handler {
    /// What a stream remembers; `()` costs nothing.
    type State: Send + 'static;

    /// A stream begins. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed, and `closed` is not called.
    fn open(&self, stream: &mut Stream<'_>, info: &StreamInfo<'_>) -> Result<Self::State>;

    /// Bytes have come, after those that earlier calls left unused. `[io]`
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

    /// Output fell to the low watermark after it had been above the high one. `[io]`
    ///
    /// # Errors
    ///
    /// The stream is closed.
    fn on_writable(&self, state: &mut Self::State, stream: &mut Stream<'_>) -> Result<()> {
        let _ = (state, stream);
        Ok(())
    }

    /// Somebody called [`StreamId::wake`](crate::StreamId::wake). `[io]`
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

    /// A dial of the stream came to nothing. `[io]`
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

    /// The end: once for each stream that `open` accepted. `[io]`
    fn closed(&self, state: Self::State, stream: &mut Stream<'_>, reason: End) {
        let _ = (state, stream, reason);
    }
}

/// A handler whose streams have something to say when they are drained. Without this the host
/// closes a stream as soon as it is idle.
pub trait DrainStream: StreamHandler {
    /// The daemon, service or instance ends; say goodbye and close by the deadline. `[io]`
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

/// A handler whose live streams can move to another generation of the plugin.
pub trait MigrateStream: StreamHandler {
    /// Writes the state of one stream, which goes on if the other side refuses it. `[io]`
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

/// The bytes that `on_data` is shown.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    bytes: &'a [u8],
    fin: bool,
}

impl<'a> Input<'a> {
    /// All bytes that have come and were not used yet.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Has the peer ended its direction? No further byte will come.
    #[must_use]
    pub const fn fin(&self) -> bool {
        self.fin
    }

    /// The first line with its end, if all of it has come: what is used up by
    /// `Used::bytes(line.len())`.
    #[must_use]
    pub fn line(&self) -> Option<&'a [u8]> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n')?;
        self.bytes.get(..=end)
    }

    /// Nothing can be done until more than this has come.
    #[must_use]
    pub const fn more(&self) -> Used {
        Used::none().want(self.bytes.len() + 1)
    }

    /// All of it is used up.
    #[must_use]
    pub const fn all(&self) -> Used {
        Used::bytes(self.bytes.len())
    }

    pub(crate) const fn new(bytes: &'a [u8], fin: bool) -> Self {
        Self { bytes, fin }
    }
}

/// What `on_data` says: how many bytes were used up, and how many the next call should show at
/// least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    pub(crate) bytes: usize,
    pub(crate) want: usize,
}

impl Used {
    /// So many bytes are used up; the rest is shown again with what follows.
    #[must_use]
    pub const fn bytes(bytes: usize) -> Self {
        Self { bytes, want: 1 }
    }

    /// Nothing can be done with what is there.
    #[must_use]
    pub const fn none() -> Self {
        Self::bytes(0)
    }

    /// Call again only when so many unused bytes are there. Beyond 1 MiB the host closes the
    /// stream.
    #[must_use]
    pub const fn want(mut self, bytes: usize) -> Self {
        self.want = bytes;
        self
    }
}
