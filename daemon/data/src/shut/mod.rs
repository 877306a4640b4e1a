//! Shut: why something ended, and who is to blame.

mod reason;

pub use reason::{Blame, Reason};
