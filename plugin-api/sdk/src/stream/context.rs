//! A stream inside a callback: writing, reading, closing.

use std::ffi::CStr;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use polyport_abi::{
    PP_CLOSE_FLUSH, PP_CLOSE_NOW, PP_CLOSE_RESET, PP_S_ABOVE_HIGH, PP_WRITE_FIN, PpId, PpSlice,
    PpStatus,
};

use super::Input;
use crate::datagram::Socket;
use crate::host::host;
use crate::ids::{SocketId, StreamId, Target};
use crate::owner::owner_functions;
use crate::raw::{EMPTY, borrow, lend};
use crate::status::{Result, Status, done};

/// The state of the output after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// More may be written.
    Below,
    /// Accepted; wait for `on_writable` before writing much more.
    AboveHigh,
}

impl Output {
    fn from_code(code: PpStatus) -> Result<Self> {
        let remark = Status::split(code)?;
        Ok(if remark == PP_S_ABOVE_HIGH {
            Self::AboveHigh
        } else {
            Self::Below
        })
    }
}

/// How to close a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Send queued output, then end in order.
    Flush,
    /// Drop queued output, end in order.
    Now,
    /// Drop queued output and reset.
    Reset,
}

impl Close {
    const fn number(self) -> u32 {
        match self {
            Self::Flush => PP_CLOSE_FLUSH,
            Self::Now => PP_CLOSE_NOW,
            Self::Reset => PP_CLOSE_RESET,
        }
    }
}

/// A stream inside a callback; the value cannot leave it. Its methods need the `[io]` context.
#[derive(Debug)]
pub struct Stream<'a> {
    id: StreamId,
    /// Valid for one callback, on its thread.
    callback: PhantomData<(&'a (), *mut ())>,
}

impl<'a> Stream<'a> {
    /// Its id, for [`StreamId::wake`] or a [`mailbox`](crate::mailbox::mailbox()). `[any]`
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// Sends bytes, together with all other output of the callback when it returns. `[io]`
    ///
    /// # Errors
    ///
    /// `FULL` at the hard bound of output (nothing was accepted), `CLOSING` after a close, `GONE`
    /// after the end.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) -> Result<Output> {
        self.write_slices(&[lend(bytes)], 0)
    }

    /// Sends bytes and ends our direction. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    #[inline]
    pub fn write_last(&mut self, bytes: &[u8]) -> Result<Output> {
        self.write_slices(&[lend(bytes)], PP_WRITE_FIN)
    }

    /// Sends the input back, and ends our direction if the peer has ended its own. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    #[inline]
    pub fn echo(&mut self, input: Input<'_>) -> Result<Output> {
        let flags = if input.fin() { PP_WRITE_FIN } else { 0 };
        self.write_slices(&[lend(input.bytes())], flags)
    }

    /// Sends several pieces as one; `last` ends our direction after them. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    pub fn write_vectored(&mut self, pieces: &[IoSlice<'_>], last: bool) -> Result<Output> {
        let flags = if last { PP_WRITE_FIN } else { 0 };
        // SAFETY: `IoSlice` has the layout of iovec, a pointer and a length, as pp_slice has.
        let pieces = unsafe { std::slice::from_raw_parts(pieces.as_ptr().cast(), pieces.len()) };
        self.write_slices(pieces, flags)
    }

    /// Reserves room for `len` bytes of output, to be written in place. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    pub fn reserve(&mut self, len: usize) -> Result<Reserved<'_>> {
        let mut into = std::ptr::null_mut();
        // SAFETY: `into` is a local.
        done(unsafe { (host().reserve)(self.id.0, len, &raw mut into) })?;
        let room = if into.is_null() || len == 0 {
            &mut [][..]
        } else {
            // SAFETY: the host returned room for `len` bytes until commit or the end of the
            // callback. `self` is borrowed until then, and there is no other context value of this
            // stream, so no other code commits.
            unsafe { std::slice::from_raw_parts_mut(into.cast::<MaybeUninit<u8>>(), len) }
        };
        Ok(Reserved {
            stream: self.id.0,
            room,
            filled: 0,
        })
    }

    /// Stops `on_data` until [`Stream::resume_reads`]. `[io]`
    ///
    /// # Errors
    ///
    /// `GONE` after the end.
    pub fn pause_reads(&mut self) -> Result<()> {
        // SAFETY: numbers only; `self` proves the context.
        done(unsafe { (host().set_reads)(self.id.0, 0) })
    }

    /// Starts `on_data` again; unconsumed bytes are delivered without waiting for more. `[io]`
    ///
    /// # Errors
    ///
    /// `GONE` after the end.
    pub fn resume_reads(&mut self) -> Result<()> {
        // SAFETY: numbers only; `self` proves the context.
        done(unsafe { (host().set_reads)(self.id.0, 1) })
    }

    /// Sets the bytes of output at which reads pause (`high`) and `on_writable` is called (`low`).
    /// `[io]`
    ///
    /// # Errors
    ///
    /// `INVAL` if `low` is above `high` or `high` above the operator's bound.
    pub fn set_watermarks(&mut self, low: usize, high: usize) -> Result<()> {
        // SAFETY: numbers only; `self` proves the context.
        done(unsafe { (host().set_watermarks)(self.id.0, low, high) })
    }

    /// Closes the stream after the callback has returned; `why` is logged. `[io]`
    ///
    /// # Errors
    ///
    /// `GONE` after the end.
    pub fn close(&mut self, how: Close, why: &str) -> Result<()> {
        close(self.id.0, how.number(), why)
    }

    /// An attribute by name: `unix.path`, `listener`, `service`. `[io]`
    ///
    /// # Errors
    ///
    /// `UNSUPPORTED` if this stream has no such attribute.
    pub fn attribute(&self, name: &CStr) -> Result<&'a [u8]> {
        attribute(self.id.0, name)
    }

    /// Another stream of the group, such as the other end of a proxied connection. `[io]`
    #[must_use]
    pub fn group_stream(&mut self, id: StreamId) -> Stream<'_> {
        Stream::new(id.0)
    }

    /// A dialled socket of the group. `[io]`
    #[must_use]
    pub fn group_socket(&mut self, id: SocketId) -> Socket<'_> {
        Socket::new(id.0)
    }

    owner_functions!("[io]");

    pub(crate) const fn new(id: PpId) -> Self {
        Self {
            id: StreamId(id),
            callback: PhantomData,
        }
    }

    #[inline]
    fn write_slices(&mut self, pieces: &[PpSlice], flags: u32) -> Result<Output> {
        let (first, n) = (pieces.as_ptr(), pieces.len());
        // SAFETY: the callers lend each piece until the call returns; the host copies.
        Output::from_code(unsafe { (host().write)(self.id.0, first, n, flags) })
    }
}

impl Target for Stream<'_> {
    fn raw_id(&self) -> u64 {
        self.id.0
    }
}

/// Reserved room in the output of a stream. Its content is sent by a commit, and dropped without
/// one.
#[derive(Debug)]
pub struct Reserved<'a> {
    stream: PpId,
    room: &'a mut [MaybeUninit<u8>],
    filled: usize,
}

impl Reserved<'_> {
    /// Appends as many bytes as fit; returns how many. `[io]`
    pub fn put(&mut self, bytes: &[u8]) -> usize {
        let rest = self.room.get_mut(self.filled..).unwrap_or_default();
        let n = bytes.len().min(rest.len());
        for (into, byte) in rest.iter_mut().zip(bytes) {
            into.write(*byte);
        }
        self.filled += n;
        n
    }

    /// The number of bytes that still fit. `[io]`
    #[must_use]
    pub const fn room(&self) -> usize {
        self.room.len() - self.filled
    }

    /// Sends the content. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    pub fn commit(self) -> Result<Output> {
        self.commit_with(0)
    }

    /// Sends the content and ends our direction. `[io]`
    ///
    /// # Errors
    ///
    /// As for [`Stream::write`].
    pub fn commit_last(self) -> Result<Output> {
        self.commit_with(PP_WRITE_FIN)
    }

    fn commit_with(self, flags: u32) -> Result<Output> {
        // SAFETY: numbers only, and the first `filled` bytes were written.
        Output::from_code(unsafe { (host().commit)(self.stream, self.filled, flags) })
    }
}

impl io::Write for Reserved<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.put(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Closes a stream, flow or dialled socket.
pub(crate) fn close(id: PpId, how: u32, why: &str) -> Result<()> {
    let why = lend(why.as_bytes());
    // SAFETY: the text lives until the call returns; the caller holds the context value.
    done(unsafe { (host().close)(id, how, &raw const why) })
}

/// An attribute of an id of the running callback.
pub(crate) fn attribute<'a>(id: PpId, name: &CStr) -> Result<&'a [u8]> {
    let mut value = EMPTY;
    // SAFETY: the name ends in NUL, and `value` is a local.
    done(unsafe { (host().attribute)(id, name.as_ptr(), &raw mut value) })?;
    // SAFETY: the host lends the value until the callback returns, and callers bind `'a` to that.
    Ok(unsafe { borrow(value) })
}
