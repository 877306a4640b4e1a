//! The arguments of `send_datagrams`, read run by run.

use std::iter;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use polyport_abi::{PP_FAMILY_V4, PP_FAMILY_V6, PpAddr, PpOut};

use crate::host_api::{OutgoingList, OutgoingRun, SendTo};
use crate::id::Id;
use crate::raw_args;
use crate::status::HostError;

/// Most datagrams in one call.
const DATAGRAMS_MAX: usize = 1 << 16;

/// An array of `pp_out` that a plugin lends for one call.
pub(super) struct RawList {
    first: *const PpOut,
    len: usize,
    stride: usize,
}

impl RawList {
    /// # Safety
    /// `first` points to `len` elements `stride` bytes apart, readable as long as the list lives, and so are the
    /// slices and addresses that they point to.
    pub(super) unsafe fn new(
        first: *const PpOut,
        len: usize,
        stride: usize,
    ) -> Result<Self, HostError> {
        let shape_fits = stride >= size_of::<PpOut>() && stride.is_multiple_of(align_of::<PpOut>());
        let pointer_fits = !first.is_null() && first.is_aligned();
        if len != 0 && !(shape_fits && pointer_fits && len <= DATAGRAMS_MAX) {
            return Err(HostError::Invalid);
        }
        Ok(Self { first, len, stride })
    }
}

impl OutgoingList for RawList {
    fn len(&self) -> usize {
        self.len
    }

    fn run(&self, first: usize) -> Result<OutgoingRun<'_>, HostError> {
        let mut payloads = Payloads {
            at: self
                .first
                .wrapping_byte_add(first.wrapping_mul(self.stride)),
            left: self.len.checked_sub(first).ok_or(HostError::Invalid)?,
            stride: self.stride,
            lent: PhantomData,
        };
        let head = payloads.clone().next_element().ok_or(HostError::Invalid)?;
        let mut all = payloads.clone();
        let alike = iter::from_fn(|| all.next_element())
            .take_while(|out| (out.peer, out.to, out.from) == (head.peer, head.to, head.from));
        payloads.left = alike.count();
        // SAFETY: null, or by the contract of `new` a readable address.
        let from = unsafe { head.from.as_ref() }.and_then(ip_address);
        let to = if head.peer != 0 {
            SendTo::Peer(Id::from_raw(head.peer))
        } else {
            // SAFETY: null, or by the contract of `new` a readable address.
            match unsafe { head.to.as_ref() } {
                Some(address) => {
                    SendTo::Address(socket_address(address).ok_or(HostError::Invalid)?)
                }
                None => SendTo::Connected,
            }
        };
        Ok(OutgoingRun { to, from, payloads })
    }
}

/// The payloads of some datagrams that a plugin lends for one call.
#[derive(Debug, Clone)]
pub struct Payloads<'a> {
    /// `left` elements from here on, `stride` bytes apart, are of a list that lives for `'a`.
    at: *const PpOut,
    left: usize,
    stride: usize,
    lent: PhantomData<&'a PpOut>,
}

impl<'a> Payloads<'a> {
    #[inline]
    fn next_element(&mut self) -> Option<&'a PpOut> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: one was left, and by the contract of `RawList::new` it is readable and aligned.
        let out = unsafe { &*self.at };
        // After the last element it points past the end, where nothing is read.
        self.at = self.at.wrapping_byte_add(self.stride);
        Some(out)
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Result<&'a [u8], HostError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let out = self.next_element()?;
        // SAFETY: by the contract of `RawList::new` the slice is readable as long as the list.
        Some(unsafe { raw_args::bytes(out.data) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Payloads<'_> {}

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

/// The address as std's type; `None` for other families than v4 and v6.
pub(super) fn socket_address(address: &PpAddr) -> Option<SocketAddr> {
    Some(match ip_address(address)? {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V4(ip), address.port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, address.port, 0, address.scope)),
    })
}
