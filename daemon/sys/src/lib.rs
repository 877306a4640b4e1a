//! The one crate that goes to the kernel past `std` and tokio.
//!
//! What lives here: sockets and what is done to them, epoll, signals, sealed files, limits. What
//! does not: policy. Nothing here logs, counts, sleeps or decides; callers do.
//!
//! 1. Errors are `io::Error` with the kernel's errno, or a typed outcome where the caller must
//!    choose between waiting, retrying, pausing and giving up.
//! 2. Every descriptor is close-on-exec from its birth, every socket nonblocking; the one to the
//!    service manager has a bound on its waiting instead.
//! 3. `unsafe` is opened in four rooms: `pollable` (one promise to tokio), `calls` (single calls that nix and socket2
//!    lack), `crash` (one handler of signals) and `datagrams` (batches, because those of nix lose control messages). The
//!    rest is safe code.
//! 4. No allocation on the data path once a worker's arenas exist.
#![deny(unsafe_code)]

// One stream: where it comes from, what it does.
pub mod address;
pub mod listen;
pub mod accept;
pub mod stream;
pub mod peer;

// Many datagrams in one call.
pub mod datagrams;

// Readiness.
pub mod epoll;
pub mod pollable;
pub mod wakeup;

// What the service manager gives and is told.
pub mod inherit;
pub mod pass;
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
    Datagram, DatagramSocket, LocalAddress, Outgoing, ReceiveArena, ReceiveOutcome, Received,
    SendOutcome, SendScratch, Stop,
};
pub use epoll::{Epoll, Event, Events, Interest};
pub use inherit::{Inherited, InheritedSocket};
pub use listen::{Listening, bind_tcp, bind_udp, bind_unix, bind_unixgram, lookup_group};
pub use memfd::SealedFile;
pub use notify::NotifySocket;
pub use ownership::{OwnershipFault, check_ownership};
pub use peer::Peer;
pub use stream::Stream;
pub use wakeup::Wakeup;
