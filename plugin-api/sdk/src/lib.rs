//! The SDK for plugins in Rust: safe traits over the ABI of `plugin-api/include/polyport`.
//!
//! 1. A handler is one type that implements [`Handler`] and one or more of [`StreamHandler`],
//!    [`SocketHandler`], [`FlowHandler`]. [`export_plugin!`] makes a plugin of it.
//! 2. Calls that need a context are methods of a value that cannot leave its callback: [`Stream`],
//!    [`Socket`], [`Flow`] for `[io]`, [`Instance`] for `[ctl]`. Calls for any thread use an id, a
//!    [`Counter`], a [`mailbox()`] or a log macro.
//! 3. Optional callbacks are traits of their own ([`DrainStream`], [`MigrateStream`], [`Persist`],
//!    [`Exclusive`] and so on): the callback is in the table exactly when the trait is implemented.
//! 4. Nothing unwinds into the host. A panic is logged with its location, and the state of its
//!    stream is leaked.
//! 5. No runtime, no thread and no lock on the data path; no allocation for a batch of datagrams.
//!
//! A plugin is a `cdylib`; `plugin-api/examples/echo.rs` is a complete one.
#![expect(unsafe_code, reason = "the raw ABI is wrapped here")]

// Traits for authors.
mod handler;
mod stream;
mod datagram;
mod flow;

// Arguments of callbacks.
mod address;
mod config;
mod end;
mod ids;
mod info;
mod metric;
mod owner;
mod state;
mod status;
mod time;
pub mod guard;
pub mod log;
pub mod mailbox;

// The ABI.
mod host;
mod panic;
mod raw;
#[doc(hidden)]
pub mod export;

#[cfg(feature = "testing")]
pub mod testing;

pub use address::Address;
pub use config::{NoConfig, Report};
pub use datagram::{
    Batch, Datagram, Datagrams, DrainSocket, Outgoing, Peer, Sent, Socket, SocketHandler,
};
pub use end::End;
pub use flow::{DrainFlow, Flow, FlowHandler, MigrateFlow};
pub use handler::{Exclusive, Handler, Hook, Instance, Operation, Persist};
pub use ids::{FlowId, InstanceId, SocketId, StreamId, Target};
pub use info::{Dialled, FlowInfo, SocketInfo, StreamInfo};
pub use mailbox::{Inbox, Mailbox, PostError, mailbox};
pub use metric::{Counter, Gauge, Metric};
pub use owner::Dial;
pub use state::{StateReader, StateWriter};
pub use status::{Error, Result, Status};
pub use stream::{
    Close, DrainStream, Input, MigrateStream, Output, Reserved, Stream, StreamHandler, Used,
};
pub use time::Moment;

/// The raw ABI, for uses that the SDK does not cover.
pub use polyport_abi as abi;
/// For the configuration of a handler: `#[derive(JsonSchema)]`.
pub use schemars;
/// For the configuration of a handler: `#[derive(Deserialize)]`.
pub use serde;

/// The names that nearly every plugin uses.
pub mod prelude {
    pub use crate::{
        Batch, Close, Handler, Input, Instance, NoConfig, Result, Socket, SocketHandler,
        SocketInfo, Stream, StreamHandler, StreamInfo, Used, export_plugin, log,
    };
    pub use std::ffi::CStr;
}
