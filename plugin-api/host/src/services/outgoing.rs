//! What a plugin passes to `send_datagrams`, read element by element.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use polyport_abi::{PP_FAMILY_V4, PP_FAMILY_V6, PpAddr, PpOut};

use crate::claim;
use crate::desk::{Outgoing, OutgoingList, SendTo};
use crate::id::Id;
use crate::status::Refuse;

/// Most datagrams in one call.
const DATAGRAMS_MAX: usize = 1 << 16;

/// An array of `pp_out` that a plugin lends for one call.
pub(super) struct ClaimedList {
    first: *const PpOut,
    len: usize,
    stride: usize,
}

impl ClaimedList {
    /// # Safety
    /// `first` points to `len` elements `stride` bytes apart, readable as long as the list lives, and so are the
    /// slices and addresses that they point to.
    pub(super) unsafe fn new(
        first: *const PpOut,
        len: usize,
        stride: usize,
    ) -> Result<Self, Refuse> {
        let shape_fits = stride >= size_of::<PpOut>() && stride.is_multiple_of(align_of::<PpOut>());
        let pointer_fits = !first.is_null() && first.is_aligned();
        if len != 0 && !(shape_fits && pointer_fits && len <= DATAGRAMS_MAX) {
            return Err(Refuse::Invalid);
        }
        Ok(Self { first, len, stride })
    }
}

impl OutgoingList for ClaimedList {
    fn len(&self) -> usize {
        self.len
    }

    fn at(&self, index: usize) -> Result<Outgoing<'_>, Refuse> {
        if index >= self.len {
            return Err(Refuse::Invalid);
        }
        // SAFETY: the index is below `len`, and by the contract of `new` the element is readable and aligned.
        let out = unsafe { &*self.first.byte_add(index * self.stride) };
        // SAFETY: by the contract of `new` the slice is readable as long as this list.
        let bytes = unsafe { claim::bytes(out.data) }?;
        // SAFETY: null, or by the contract of `new` a readable address.
        let from = unsafe { out.from.as_ref() }.and_then(ip_address);
        let to = if out.peer != 0 {
            SendTo::Peer(Id::from_raw(out.peer))
        } else {
            // SAFETY: null, or by the contract of `new` a readable address.
            match unsafe { out.to.as_ref() } {
                Some(address) => SendTo::Address(socket_address(address).ok_or(Refuse::Invalid)?),
                None => SendTo::Connected,
            }
        };
        Ok(Outgoing { bytes, to, from })
    }
}

fn ip_address(address: &PpAddr) -> Option<IpAddr> {
    match address.family {
        PP_FAMILY_V4 => {
            let [a, b, c, d, ..] = address.ip;
            Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
        }
        PP_FAMILY_V6 => Some(IpAddr::V6(Ipv6Addr::from(address.ip))),
        _ => None,
    }
}

/// The address as std knows it; `None` for other families than v4 and v6.
pub(super) fn socket_address(address: &PpAddr) -> Option<SocketAddr> {
    Some(match ip_address(address)? {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), address.port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, address.port, 0, address.scope)),
    })
}
