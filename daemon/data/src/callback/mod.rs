//! Callbacks of handlers, and what follows from their results.

mod notify;
mod transfer;

pub(crate) use notify::{check, fault, log_fault, notify, notify_stream};
pub(crate) use transfer::{NotMoved, rebind_flow, transfer_flow, transfer_streams};
