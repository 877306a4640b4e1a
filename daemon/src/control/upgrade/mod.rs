//! The upgrade to another executable: the daemon starts it in a new process, passes all listening sockets, and drains
//! once the new process serves. Until then everything can be rolled back.
//!
//! ```text
//! executable    the program that runs, and how to start it again   executable.rs
//! messages      the protocol between the two processes             messages.rs, channel.rs
//! hand_over     the old process's side, step by step               hand_over.rs
//! new_process   the new process as the old one sees it             new_process/
//! old_process   the old process as the new one sees it             old_process.rs
//! drain_old     the last streams of the old process                drain_old.rs
//! ```

pub mod executable;
mod messages;
mod channel;
pub mod hand_over;
pub mod new_process;
pub mod old_process;
pub mod drain_old;

pub use executable::Executable;
pub use new_process::NewProcess;
pub use old_process::{InheritedFds, OldProcess};

/// Names of the descriptors that are no listening sockets.
const CHANNEL: &str = "polyport/predecessor";
const STDERR: &str = "polyport/stderr";
const ADMIN: &str = "polyport/admin";
