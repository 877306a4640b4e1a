//! Output of a stream: sent at once where the socket takes it, queued where it does not.

mod output;
mod queue;

pub(crate) use output::{OUTPUT_MAX, Output, Sent};
