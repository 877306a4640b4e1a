//! What is said over the admin socket: HTTP/1.1 with JSON, so that a person can speak it by hand
//! (`curl --unix-socket /run/polyport/admin.sock http://polyport/v1/status`). The daemon and `polyportctl` share
//! these types. Within one version members are only added: who reads leaves out what it does not know, and takes
//! the default for what is not there.
#![forbid(unsafe_code)]

pub mod outcome;
pub mod path;
pub mod plan;
pub mod refusal;
pub mod status;

pub use outcome::{Drained, FaultLine, Outcome, Verdict};
pub use plan::Plan;
pub use refusal::Refusal;
pub use status::{Plugins, Services, Status};

/// The version in every path.
pub const VERSION: u32 = 1;
