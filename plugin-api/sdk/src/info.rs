//! Facts about a stream, socket or flow when it opens.

use polyport_abi::{
    PP_INFO_MIGRATED, PP_INFO_OUTBOUND, PP_INFO_TLS, PpFlowInfo, PpId, PpSlice, PpSocketInfo,
    PpStreamInfo,
};

use crate::address::Address;
use crate::ids::SocketId;
use crate::raw::borrow_text;

/// The dial that an object results from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialled {
    /// The id of the dial's owner: compare with `as_u64` of an id.
    pub parent: u64,
    /// The tag of the dial.
    pub tag: u64,
}

impl Dialled {
    const fn read(flags: u32, parent: PpId, tag: u64) -> Option<Self> {
        if flags & PP_INFO_OUTBOUND == 0 {
            None
        } else {
            Some(Self { parent, tag })
        }
    }
}

/// Facts about a stream when it opens; borrowed until `open` returns.
#[derive(Clone, Copy, Debug)]
pub struct StreamInfo<'a>(pub(crate) &'a PpStreamInfo);

impl<'a> StreamInfo<'a> {
    /// Our address.
    #[must_use]
    pub const fn local(&self) -> Address {
        Address(self.0.local)
    }

    /// The peer's address; the client's own, if a PROXY header named it.
    #[must_use]
    pub const fn remote(&self) -> Address {
        Address(self.0.remote)
    }

    /// The connected peer, if `remote` is from a PROXY header.
    #[must_use]
    pub const fn direct(&self) -> Address {
        Address(self.0.direct)
    }

    /// The dial that this object results from.
    #[must_use]
    pub const fn dialled(&self) -> Option<Dialled> {
        Dialled::read(self.0.flags, self.0.parent, self.0.tag)
    }

    /// Whether it was taken over from an older generation.
    #[must_use]
    pub const fn migrated(&self) -> bool {
        self.0.flags & PP_INFO_MIGRATED != 0
    }

    /// Whether it is under TLS.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.0.flags & PP_INFO_TLS != 0
    }

    /// Name of the service; of a dialled stream, that of the dial's owner.
    #[must_use]
    pub fn service(&self) -> &'a str {
        self.text(self.0.service)
    }

    /// Name of the listener; empty for a dialled stream.
    #[must_use]
    pub fn listener(&self) -> &'a str {
        self.text(self.0.listener)
    }

    /// The server name requested by TLS.
    #[must_use]
    pub fn sni(&self) -> &'a str {
        self.text(self.0.sni)
    }

    /// The protocol negotiated by TLS.
    #[must_use]
    pub fn alpn(&self) -> &'a str {
        self.text(self.0.alpn)
    }

    fn text(&self, slice: PpSlice) -> &'a str {
        // SAFETY: names of an info are lent as long as the info itself.
        unsafe { borrow_text(slice) }
    }
}

/// Facts about a datagram socket when it opens; borrowed until `open` returns.
#[derive(Clone, Copy, Debug)]
pub struct SocketInfo<'a>(pub(crate) &'a PpSocketInfo);

impl<'a> SocketInfo<'a> {
    /// Our address.
    #[must_use]
    pub const fn local(&self) -> Address {
        Address(self.0.local)
    }

    /// The peer's address, of a dialled socket.
    #[must_use]
    pub const fn remote(&self) -> Address {
        Address(self.0.remote)
    }

    /// The dial that this object results from.
    #[must_use]
    pub const fn dialled(&self) -> Option<Dialled> {
        Dialled::read(self.0.flags, self.0.parent, self.0.tag)
    }

    /// Name of the service; of a dialled socket, that of the dial's owner.
    #[must_use]
    pub fn service(&self) -> &'a str {
        // SAFETY: names of an info are lent as long as the info itself.
        unsafe { borrow_text(self.0.service) }
    }

    /// Name of the listener; empty for a dialled socket.
    #[must_use]
    pub fn listener(&self) -> &'a str {
        // SAFETY: names of an info are lent as long as the info itself.
        unsafe { borrow_text(self.0.listener) }
    }
}

/// Facts about a flow when it opens; borrowed until `open` returns.
#[derive(Clone, Copy, Debug)]
pub struct FlowInfo<'a>(pub(crate) &'a PpFlowInfo);

impl FlowInfo<'_> {
    /// The socket of the flow.
    #[must_use]
    pub const fn socket(&self) -> SocketId {
        SocketId(self.0.socket)
    }

    /// Our address.
    #[must_use]
    pub const fn local(&self) -> Address {
        Address(self.0.local)
    }

    /// The peer's address.
    #[must_use]
    pub const fn remote(&self) -> Address {
        Address(self.0.remote)
    }

    /// Whether it was taken over from an older generation.
    #[must_use]
    pub const fn migrated(&self) -> bool {
        self.0.flags & PP_INFO_MIGRATED != 0
    }
}
