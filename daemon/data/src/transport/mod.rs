//! The connection of a stream, plain or (later) encrypted: what a stream does to it.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};

use polyport_sys::{PeerAddress, Stream as Connection};

/// The connection of a stream.
#[derive(Debug)]
pub(crate) enum Transport {
    /// The bytes of the connection are the handler's.
    Plain(Plain),
}

/// A connection without encryption.
#[derive(Debug)]
pub(crate) struct Plain {
    connection: Connection,
    /// A short read does not mean that the socket is empty: on Unix sockets, passed descriptors split reads.
    splits: bool,
}

/// The result of a read.
#[derive(Debug)]
pub(crate) enum Read {
    /// So many bytes; `drained`: nothing more is there, and the next byte gives an event.
    Bytes { count: usize, drained: bool },
    /// The peer has ended its direction.
    End,
    /// Nothing is there now.
    Blocked,
    /// The connection has failed.
    Failed(io::Error),
}

impl Transport {
    /// A connection that carries the handler's bytes as they are.
    pub(crate) fn plain(connection: Connection, peer: &PeerAddress) -> Self {
        let splits = matches!(peer, PeerAddress::Unix(_));
        Self::Plain(Plain { connection, splits })
    }

    /// Reads into `buffer`, once.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Read {
        let Self::Plain(plain) = self;
        loop {
            return match plain.connection.read(buffer) {
                Ok(0) => Read::End,
                Ok(count) => Read::Bytes {
                    count,
                    drained: count < buffer.len() && !plain.splits,
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Blocked,
                Err(error) => Read::Failed(error),
            };
        }
    }

    /// Writes from the start of `pieces`; returns how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock`; all others mean that the connection has failed.
    #[inline]
    pub(crate) fn write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Self::Plain(plain) = self;
        loop {
            let taken = match pieces {
                [only] => plain.connection.write(only),
                several => plain.connection.write_vectored(several),
            };
            match taken {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                taken => return taken,
            }
        }
    }

    /// Sends what the transport itself has kept back; returns whether nothing is left. A plain one keeps nothing.
    ///
    /// # Errors
    /// The connection has failed.
    pub(crate) fn flush(&self) -> io::Result<bool> {
        let Self::Plain(_) = self;
        Ok(true)
    }

    /// Ends our direction.
    pub(crate) fn end_write(&self) {
        let Self::Plain(plain) = self;
        // It fails only when the connection is gone, which the next read shows as well.
        drop(plain.connection.shutdown_write());
    }

    /// How many bytes could be read now; `None`: not known.
    pub(crate) fn unread(&self) -> Option<usize> {
        let Self::Plain(plain) = self;
        plain.connection.unread_bytes().ok()
    }

    /// Lets the close be a reset.
    pub(crate) fn reset_on_close(&self) {
        let Self::Plain(plain) = self;
        plain.connection.reset_on_close();
    }

    /// The connection below, for the epoll set, its addresses and its options.
    pub(crate) fn connection(&self) -> &Connection {
        let Self::Plain(plain) = self;
        &plain.connection
    }
}

impl AsFd for Transport {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection().as_fd()
    }
}
