//! What an author of a plugin in Rust writes against: safe traits over the ABI of
//! `plugin-api/include/polyport`.
//!
//! 1. A handler is one type that implements [`Handler`], and what it serves: [`StreamHandler`],
//!    [`SocketHandler`], [`FlowHandler`]. [`export_plugin!`] makes a plugin of it.
//! 2. What needs a context is a method of a value that cannot leave its callback: [`Stream`],
//!    [`Socket`], [`Flow`] for `[io]`, [`Instance`] for `[ctl]`. What may be done from any thread
//!    is done with an id, a [`Counter`], a [`mailbox()`] or a log macro.
//! 3. What is rarely needed is a trait of its own ([`DrainStream`], [`MigrateStream`], [`Persist`],
//!    [`Exclusive`] and so on): the callback is in the table exactly when the trait is implemented.
//! 4. Nothing unwinds across the border. A panic is logged with its place, and its stream's state
//!    is leaked.
//! 5. No runtime, no thread and no lock on the way of a byte; no allocation for a batch of
//!    datagrams.
//!
//! A plugin is a `cdylib`; `plugin-api/examples/echo.rs` is a whole one.
#![expect(
    unsafe_code,
    reason = "this is where the raw ABI ends and safe Rust begins"
)]

// What an author implements.
mod handler;
mod stream;
mod datagram;
mod flow;

// What a callback is given and may use.
mod address;
mod config;
mod end;
mod ids;
mod info;
mod metric;
mod outside;
mod state;
mod status;
mod time;
pub mod guard;
pub mod log;
pub mod mailbox;

// The border.
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
pub use outside::Dial;
pub use state::{StateReader, StateWriter};
pub use status::{Error, Result, Status};
pub use stream::{
    Close, DrainStream, Input, MigrateStream, Output, Reserved, Stream, StreamHandler, Used,
};
pub use time::Moment;

/// The raw ABI, for what the SDK does not cover.
pub use polyport_abi as abi;
/// For the configuration of a handler: `#[derive(JsonSchema)]`.
pub use schemars;
/// For the configuration of a handler: `#[derive(Deserialize)]`.
pub use serde;

/// What nearly every plugin names.
pub mod prelude {
    pub use crate::{
        Batch, Close, Handler, Input, Instance, NoConfig, Result, Socket, SocketHandler,
        SocketInfo, Stream, StreamHandler, StreamInfo, Used, export_plugin, log,
    };
    pub use std::ffi::CStr;
}
