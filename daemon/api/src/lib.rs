//! The protocol of the admin socket: HTTP/1.1 with JSON, also usable by hand (`curl --unix-socket
//! /run/polyport/admin.sock http://polyport/v1/status`). The daemon and `polyportctl` share these types. Within one
//! version members are only added: a reader ignores unknown members and uses the default for missing ones.
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
