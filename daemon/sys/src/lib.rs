//! System calls that `std` and tokio do not cover: sockets, epoll, signals, sealed files, limits.
//!
//! No policy: this crate does not log, count, sleep or decide; callers do.
//!
//! 1. Errors are `io::Error` with the kernel's errno, or a typed outcome where the caller must
//!    choose between waiting, retrying, pausing and giving up.
//! 2. Every descriptor is close-on-exec from its creation, every socket nonblocking; the socket to the
//!    service manager has a send timeout instead.
//! 3. `unsafe` is confined to three modules: `calls` (single calls that nix and socket2 lack), `crash` (one signal
//!    handler) and `datagrams` (batches, because those of nix lose control messages).
//! 4. No allocation on the data path once a worker's arenas exist.
#![deny(unsafe_code)]

// Streams.
pub mod address;
pub mod listen;
pub mod accept;
pub mod stream;
pub mod peer;

// Datagrams, many in one call.
pub mod datagrams;

// Readiness.
pub mod epoll;
pub mod wakeup;

// The service manager and the next executable.
pub mod inherit;
pub mod exec_helper;
pub mod notify;

// The process and its files.
pub mod signals;
pub mod memfd;
pub mod ownership;
pub mod limits;
pub mod process;
pub mod files;

// Inside.
mod calls;
mod crash;
mod socket_path;
#[cfg(test)]
mod testing;

pub use accept::{AcceptOutcome, accept};
pub use address::{PeerAddress, PeerRef};
pub use datagrams::{
    DatagramSocket, LocalAddress, ReceiveArena, ReceiveOutcome, Received, SendOutcome, SendScratch,
    Stop,
};
pub use epoll::{Epoll, Event, Events, Interest};
pub use inherit::{Inherited, InheritedSocket};
pub use listen::{StreamListener, bind_tcp, bind_udp, bind_unix, bind_unixgram, lookup_group};
pub use memfd::SealedFile;
pub use notify::NotifySocket;
pub use ownership::{OwnershipFault, check_ownership};
pub use peer::PeerCredentials;
pub use stream::Stream;
pub use wakeup::Wakeup;
