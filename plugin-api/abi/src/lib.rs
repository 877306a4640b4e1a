//! The plugin ABI in `repr(C)` Rust: the mirror of `plugin-api/include/polyport/*.h`, file by file.
//!
//! The headers are the contract and have the full documentation; this crate repeats names, types and order.
//! `layout.txt` has every size and offset; tests compare both sides with it.
//!
//! No dependency, no `std`, and no code but [`refusing_host`]: the crate is shared by the daemon's half
//! (`polyport-host`) and the author's half (`polyport-sdk`).
#![no_std]

pub mod version;
pub mod types;
pub mod host;
pub mod callback;
pub mod stream;
pub mod datagram;
pub mod plugin;
pub mod entry;
pub mod refusing;

pub use callback::*;
pub use datagram::*;
pub use entry::*;
pub use host::*;
pub use plugin::*;
pub use refusing::refusing_host;
pub use stream::*;
pub use types::*;
pub use version::*;
