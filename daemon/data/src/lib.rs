//! The data side: what happens to a byte, a datagram and a snapshot. Read this first.
//!
//! Parts hold state and call no plugin; the core is what the rooms share; rooms never run a callback of another object on
//! their own stack, they queue work, and the worker dispatches it. ARCHITECTURE.md lists the functions of these walks;
//! `docs/walks/check.sh` compares both with what gdb sees.
//!
//! One chunk of a TCP stream:
//!
//! ```text
//! worker/turn.rs           polls, and dispatches the readiness unless the instance is paused
//! handle/mod.rs            Streams::serve: everything that follows from one cause
//! handle/input.rs          reads into the worker's buffer, by transport/mod.rs
//! handle/input.rs          calls on_data through the host, keeps what is not consumed
//! core/host_api.rs         the handler writes: HostApi::write
//! core/output.rs           gathers
//! handle/flow_control.rs   settles: sends, pauses or resumes reads
//! core/output.rs           what was gathered, in one send: transport/mod.rs; the rest into the queue of reply/output.rs
//! shut/close.rs            ends the stream if it is time
//! ```
//!
//! One datagram:
//!
//! ```text
//! worker/turn.rs           polls and dispatches
//! datagram/mod.rs          the socket is readable
//! datagram/receive.rs      receives a batch, delivers it through the host to the socket or to its flows
//! core/host_api.rs         the handler answers: HostApi::send_datagrams
//! core/send.rs             resolves the peers, sends in one call
//! callback/notify.rs       checks the result of the callback
//! ```
//!
//! One snapshot:
//!
//! ```text
//! core/mailbox.rs          control sends it as a command
//! worker/turn.rs           the eventfd is ready: takes commands
//! worker/commands.rs       applies it
//! reload/mod.rs            replaces the snapshot before it
//! accept/acceptors.rs      opens and closes listeners
//! reload/sockets.rs        queues what becomes of each datagram socket
//! reload/streams.rs        visits the streams by a cursor, some in each turn
//! ```
#![forbid(unsafe_code)]

// parts: state, and questions about it; none calls a plugin
pub mod reason;
pub mod service;
pub mod snapshot;
mod time;
pub mod admit;
pub mod listen;
mod transport;
mod reply;
mod object;

// what the rooms share
mod core;
mod callback;

// rooms, on the way of the data
mod accept;
mod handle;
mod datagram;
mod shut;
mod reload;

// the thread
pub mod worker;

pub use core::{Accepted, Command, Mailbox, Standby};
pub use time::{Clock, ManualClock};
