//! The hand-over to another executable: the daemon starts it beside itself, gives it all listening sockets, and leaves
//! when that one serves. Whatever goes wrong before changes nothing.
//!
//! ```text
//! executable     what runs, and is started again          executable.rs
//! words          what the two processes say, line by line words.rs, channel.rs
//! successor      the new process, as the old one sees it  successor.rs
//! hand_over      the course of the old one                hand_over.rs
//! predecessor    the old process, as the new one sees it  predecessor.rs
//! linger         the old one's streams end                linger.rs
//! ```

pub mod executable;
mod messages;
mod channel;
pub mod new_process;
pub mod hand_over;
pub mod old_process;
pub mod drain_old;

pub use executable::Executable;
pub use new_process::NewProcess;
pub use old_process::{InheritedFds, OldProcess};

/// How the descriptors are called that are no listeners of a service.
const CHANNEL: &str = "polyport/predecessor";
const STDERR: &str = "polyport/stderr";
const ADMIN: &str = "polyport/admin";
