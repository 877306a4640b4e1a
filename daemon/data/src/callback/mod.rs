//! Callbacks of handlers, and what follows from their results.

mod notify;
mod transfer;

pub(crate) use notify::{
    check_flow, check_socket, fault, log_fault, notify_flow, notify_socket, notify_stream,
};
pub(crate) use transfer::{NotMoved, rebind_flow, transfer_flow, transfer_streams};
