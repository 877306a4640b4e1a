//! Datagrams as they came: a batch, read in place at the host's own stride.

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
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Are there none?
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One after the other, in the order in which they came.
    #[must_use]
    pub const fn iter(&self) -> Datagrams<'a> {
        Datagrams {
            at: self.first,
            left: self.len,
            stride: self.stride,
            lent: PhantomData,
        }
    }

    /// None if the host's elements are shorter than what this SDK reads.
    ///
    /// # Safety
    ///
    /// `first` points to `len` datagrams that lie `stride` bytes apart, are lent during `'a`, and
    /// were written by a host that knows `stride` bytes of each.
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
        // SAFETY: `at` is one of the elements that `Batch::from_raw` was given, as `left` was not
        // 0.
        let datagram = unsafe { &*self.at };
        // The last step leads past the end, where nothing is read.
        self.at = self.at.wrapping_byte_add(self.stride);
        Some(Datagram(datagram))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Datagrams<'_> {}
impl FusedIterator for Datagrams<'_> {}

/// One datagram that came.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a>(&'a PpDatagram);

impl<'a> Datagram<'a> {
    /// Its payload; an empty one is data too.
    #[must_use]
    #[inline]
    pub const fn bytes(&self) -> &'a [u8] {
        // SAFETY: the host lends the payload as long as the datagram itself.
        unsafe { borrow_parts(self.0.ptr.cast::<u8>(), self.0.len) }
    }

    /// Whom to answer; cheaper than an address, and right for unnamed Unix peers too.
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

    /// The local address that was asked.
    #[must_use]
    #[inline]
    pub const fn to(&self) -> Address {
        Address(self.0.to)
    }

    /// When it came.
    #[must_use]
    pub const fn received(&self) -> Moment {
        Moment::from_nanos(self.0.received)
    }

    /// Was it longer than the host could hold? Only shown to those who ask for such.
    #[must_use]
    pub const fn truncated(&self) -> bool {
        self.0.flags & PP_DATAGRAM_TRUNCATED != 0
    }
}

/// Who sent a datagram; it cannot leave the callback.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    pub(crate) id: PpId,
    lent: PhantomData<&'a PpDatagram>,
}
