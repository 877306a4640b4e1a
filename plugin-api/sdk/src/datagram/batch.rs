//! Received datagrams: a batch, read in place at the host's stride.

use std::iter::FusedIterator;
use std::marker::PhantomData;

use polyport_abi::{PP_DATAGRAM_TRUNCATED, PpDatagram, PpId};

use crate::address::Address;
use crate::raw::borrow_parts;
use crate::time::Moment;

/// A batch of datagrams; borrowed until the callback returns.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    first: *const PpDatagram,
    len: usize,
    stride: usize,
    lent: PhantomData<&'a PpDatagram>,
}

impl<'a> Batch<'a> {
    /// The number of datagrams.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether the batch is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The datagrams in order of arrival.
    #[must_use]
    pub const fn iter(&self) -> Datagrams<'a> {
        Datagrams {
            at: self.first,
            left: self.len,
            stride: self.stride,
            lent: PhantomData,
        }
    }

    /// `None` if the host's elements are shorter than this SDK's.
    ///
    /// # Safety
    ///
    /// `first` points to `len` datagrams, `stride` bytes apart, lent during `'a` and written by a
    /// host that knows `stride` bytes of each.
    pub(crate) const unsafe fn from_raw(
        first: *const PpDatagram,
        len: usize,
        stride: usize,
    ) -> Option<Self> {
        if stride < size_of::<PpDatagram>() || first.is_null() {
            return None;
        }
        Some(Self {
            first,
            len,
            stride,
            lent: PhantomData,
        })
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = Datagram<'a>;
    type IntoIter = Datagrams<'a>;

    fn into_iter(self) -> Datagrams<'a> {
        self.iter()
    }
}

/// The datagrams of a batch.
#[derive(Clone, Debug)]
pub struct Datagrams<'a> {
    at: *const PpDatagram,
    left: usize,
    stride: usize,
    lent: PhantomData<&'a PpDatagram>,
}

impl<'a> Iterator for Datagrams<'a> {
    type Item = Datagram<'a>;

    #[inline]
    fn next(&mut self) -> Option<Datagram<'a>> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `at` is one of the elements of `Batch::from_raw`, as `left` was not 0.
        // 0.
        let datagram = unsafe { &*self.at };
        // The last step leads past the end; nothing is read there.
        self.at = self.at.wrapping_byte_add(self.stride);
        Some(Datagram(datagram))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Datagrams<'_> {}
impl FusedIterator for Datagrams<'_> {}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a>(&'a PpDatagram);

impl<'a> Datagram<'a> {
    /// The payload; may be empty.
    #[must_use]
    #[inline]
    pub const fn bytes(&self) -> &'a [u8] {
        // SAFETY: the host lends the payload as long as the datagram itself.
        unsafe { borrow_parts(self.0.ptr.cast::<u8>(), self.0.len) }
    }

    /// The sender, as a destination of replies; cheaper than an address, and valid for unnamed Unix
    /// peers too.
    #[must_use]
    #[inline]
    pub const fn peer(&self) -> Peer<'a> {
        Peer {
            id: self.0.peer,
            lent: PhantomData,
        }
    }

    /// The peer's address.
    #[must_use]
    #[inline]
    pub const fn from(&self) -> Address {
        Address(self.0.from)
    }

    /// The local address that it was sent to.
    #[must_use]
    #[inline]
    pub const fn to(&self) -> Address {
        Address(self.0.to)
    }

    /// The time of arrival.
    #[must_use]
    pub const fn received(&self) -> Moment {
        Moment::from_nanos(self.0.received)
    }

    /// Whether it was longer than the host's buffer; delivered only on request.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.0.flags & PP_DATAGRAM_TRUNCATED != 0
    }
}

/// The sender of a datagram; the value cannot leave the callback.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub(crate) id: PpId,
    lent: PhantomData<&'a PpDatagram>,
}
