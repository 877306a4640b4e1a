//! Streams, sockets and flows: what a worker has ids for. Each is an [`Object`] and what is its own.
//!
//! These are parts: they keep state and answer questions about it. No function here calls a plugin.

mod flag;
mod flow;
mod group;
mod header;
mod input;
mod port;
mod socket;
mod stream;
mod table;
mod timers;

pub(crate) use flag::Flag;
pub(crate) use flow::{Flow, Flows, Sender, flows_max};
pub(crate) use group::Group;
pub(crate) use header::Object;
pub(crate) use input::{INPUT_MAX, Input};
pub(crate) use port::{Kept, Port, PortOwner};
pub(crate) use socket::Socket;
pub(crate) use stream::{Ending, Stream};
pub(crate) use table::{Entity, Table};

use polyport_host::stream::Address;
use polyport_sys::PeerAddress;

/// An address as plugins see it.
pub(crate) fn address(peer: &PeerAddress) -> Address {
    match peer {
        PeerAddress::Ip(ip) => Address::Ip(*ip),
        PeerAddress::Unix(_) => Address::Unix,
    }
}
