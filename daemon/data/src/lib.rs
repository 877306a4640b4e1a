//! The fast side: the way of one byte. Read this first.
//!
//! ```text
//! accept   a listening socket gives a connection           accept/listener.rs
//! admit    limits: is there room for it?                   admit/permits.rs
//! handle   the engine reads, the plugin answers            engine/
//! reply    what the plugin wrote goes out, bounded         reply/queue.rs
//! shut     why it ended, and how it is taken leave of      shut/reason.rs
//! ```
//!
//! A worker is a thread with a tokio `current_thread` runtime that drives one [`engine`]: an own epoll set, a table
//! of streams, one read buffer, one output buffer, one queue of deadlines. A stream belongs to one worker for its
//! life, and no two of its callbacks are ever concurrent. Stages do not know each other; the engine composes them.
//! Nothing here knows control: what to serve comes down as a [`snapshot`] of [`service`]s, and shutdown as a phase.
#![forbid(unsafe_code)]

pub mod service;
pub mod snapshot;
pub mod worker;

pub mod accept;
pub mod admit;
pub mod engine;
pub mod reply;
pub mod shut;
