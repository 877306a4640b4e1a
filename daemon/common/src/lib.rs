//! What the control side and the data side share. Depends on neither.
#![forbid(unsafe_code)]

pub mod shutdown;
pub mod tasks;
pub mod wait_group;
