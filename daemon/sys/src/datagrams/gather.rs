//! Gathering of a send: datagrams into messages, messages into one call.
//!
//! Consecutive datagrams of one size with one destination become one message, which the kernel or the
//! network card segments again (`UDP_SEGMENT`); the last one may be shorter. Datagrams that are
//! contiguous in memory, such as an echoed GRO batch, also share one `iovec`: the kernel's cost is per
//! `iovec`.

use std::fmt;
use std::iter::Fuse;
use std::ptr;

use super::control::{Control, SEND_BYTES};
use super::names::Name;
use super::send::{Destination, Run};
use super::{DatagramSocket, Family, UDP_PAYLOAD_MAX, empty_headers};

/// Messages in one call.
const MESSAGES: usize = 64;
/// Pieces of memory in one call.
const PIECES: usize = 1024;
/// Datagrams in one message: what every kernel that can segment takes.
const SEGMENTS: usize = 64;

/// Buffers of a send; each worker has one for all its datagram sockets.
pub struct SendScratch {
    pub(super) headers: Vec<libc::mmsghdr>,
    names: Vec<Name>,
    controls: Vec<Control<SEND_BYTES>>,
    pub(super) pieces: Vec<libc::iovec>,
    pub(super) messages: Vec<Message>,
}

// SAFETY: no pointer in here is used between two sends: each send writes all that it uses.
unsafe impl Send for SendScratch {}

impl Default for SendScratch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SendScratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendScratch").finish_non_exhaustive()
    }
}

/// One message: `count` datagrams in `pieces` pieces of memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    /// The number of its first datagram within the send.
    pub(super) first: usize,
    pub(super) count: usize,
    first_piece: usize,
    pieces: usize,
    bytes: usize,
    /// The size of its datagrams; a shorter one is the last.
    pub(super) segment: usize,
    closed: bool,
    name_bytes: u32,
    /// Length of the control message for the source; that of the segment size follows it.
    pub(super) source_bytes: usize,
}

impl Message {
    /// Whether a datagram of `bytes` with the same destination can join this message.
    #[inline]
    fn takes(&self, bytes: usize, join_limit: usize) -> bool {
        let fits = self.count < SEGMENTS && self.bytes + bytes <= UDP_PAYLOAD_MAX;
        let alike = bytes > 0 && bytes <= self.segment && self.segment <= join_limit;
        fits && alike && !self.closed
    }

    /// Its datagrams as one piece each, cut out of the pieces of all messages.
    pub(super) fn datagrams(self, pieces: &[libc::iovec]) -> impl Iterator<Item = libc::iovec> {
        let own = pieces.iter().skip(self.first_piece).take(self.pieces);
        // Each piece holds whole datagrams.
        own.flat_map(move |piece| {
            let starts = (0..piece.iov_len).step_by(self.segment.max(1));
            starts.map(move |start| libc::iovec {
                iov_base: piece.iov_base.wrapping_byte_add(start),
                iov_len: self.segment.min(piece.iov_len - start),
            })
        })
    }
}

/// The datagrams of a send that are not gathered yet.
pub(super) struct Source<'a, I, D, P> {
    runs: Fuse<I>,
    current: Option<(D, Fuse<P>)>,
    /// Taken from the current run, and did not fit.
    held: Option<&'a [u8]>,
}

impl<'a, I, D, P> Source<'a, I, D, P>
where
    I: Iterator<Item = Run<D, P>>,
    D: Destination,
    P: Iterator<Item = &'a [u8]>,
{
    pub(super) fn new(runs: I) -> Self {
        Self {
            runs: runs.fuse(),
            current: None,
            held: None,
        }
    }

    /// Moves to the next run, if any; returns whether it has the destination of the last one.
    fn advance(&mut self) -> Option<bool> {
        let Run {
            destination: next,
            payloads,
        } = self.runs.next()?;
        let same = self
            .current
            .as_ref()
            .is_some_and(|(last, _)| (last.to(), last.from()) == (next.to(), next.from()));
        self.current = Some((next, payloads.fuse()));
        Some(same)
    }
}

impl SendScratch {
    /// Allocates the buffers.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: empty_headers(MESSAGES),
            names: vec![Name::EMPTY; MESSAGES],
            controls: vec![Control::EMPTY; MESSAGES],
            pieces: Vec::with_capacity(PIECES),
            messages: Vec::with_capacity(MESSAGES),
        }
    }

    /// Gathers datagrams until the buffers are full or `source` ends. `first` is the number of the
    /// next datagram; returns the number after the last one gathered.
    pub(super) fn gather<'a, I, D, P>(
        &mut self,
        socket: &DatagramSocket,
        source: &mut Source<'a, I, D, P>,
        first: usize,
    ) -> usize
    where
        I: Iterator<Item = Run<D, P>>,
        D: Destination,
        P: Iterator<Item = &'a [u8]>,
    {
        self.pieces.clear();
        self.messages.clear();
        let mut same = false;
        while self.gather_run(socket, source, same, first) {
            let Some(goes_on) = source.advance() else {
                break;
            };
            same = goes_on;
        }
        self.end(first)
    }

    /// Gathers from the current run; returns whether its end was reached. `same`: the last message has
    /// the same destination.
    fn gather_run<'a, I, D: Destination, P: Iterator<Item = &'a [u8]>>(
        &mut self,
        socket: &DatagramSocket,
        source: &mut Source<'a, I, D, P>,
        mut same: bool,
        first: usize,
    ) -> bool {
        let Some((destination, payloads)) = &mut source.current else {
            return true;
        };
        let join_limit = socket.join_limit();
        while self.pieces.len() < PIECES {
            let Some(bytes) = source.held.take().or_else(|| payloads.next()) else {
                return true;
            };
            let open = self.messages.last_mut();
            if let Some(open) = open.filter(|open| same && open.takes(bytes.len(), join_limit)) {
                open.count += 1;
                open.bytes += bytes.len();
                open.closed = bytes.len() < open.segment;
                if !prolong(self.pieces.last_mut(), bytes) {
                    open.pieces += 1;
                    self.pieces.push(piece(bytes));
                }
            } else if self.messages.len() < MESSAGES {
                self.open(socket.family, destination, bytes, first);
            } else {
                source.held = Some(bytes);
                return false;
            }
            same = true;
        }
        false
    }

    /// Begins a message with this datagram.
    fn open(&mut self, family: Family, destination: &impl Destination, bytes: &[u8], first: usize) {
        let index = self.messages.len();
        let name_bytes = match (destination.to(), self.names.get_mut(index)) {
            (Some(peer), Some(name)) => name.write(peer, family),
            _ => 0,
        };
        let source_bytes = match (destination.from(), self.controls.get_mut(index)) {
            (Some(from), Some(control)) => control.write_source(from, family),
            _ => 0,
        };
        self.messages.push(Message {
            first: self.end(first),
            count: 1,
            first_piece: self.pieces.len(),
            pieces: 1,
            bytes: bytes.len(),
            segment: bytes.len(),
            closed: false,
            name_bytes,
            source_bytes,
        });
        self.pieces.push(piece(bytes));
    }

    /// The number after the last gathered datagram.
    fn end(&self, first: usize) -> usize {
        self.messages
            .last()
            .map_or(first, |last| last.first + last.count)
    }

    /// Points the headers to the gathered messages. Until the end of the call only `headers` is
    /// written.
    pub(super) fn connect_headers(&mut self) {
        let Self {
            headers,
            names,
            controls,
            pieces,
            messages,
        } = self;
        let mut lengths = [0; MESSAGES];
        for ((message, control), length) in messages.iter().zip(&mut *controls).zip(&mut lengths) {
            *length = match u16::try_from(message.segment) {
                Ok(segment) if message.count > 1 => {
                    control.write_segment(message.source_bytes, segment)
                }
                _ => message.source_bytes,
            };
        }
        let (names, controls) = (names.as_mut_ptr(), controls.as_mut_ptr());
        let pieces = pieces.as_mut_ptr();
        let rows = messages.iter().zip(headers).zip(lengths).enumerate();
        for (index, ((message, header), control_bytes)) in rows {
            let header = &mut header.msg_hdr;
            header.msg_name = match message.name_bytes {
                0 => ptr::null_mut(),
                _ => names.wrapping_add(index).cast(),
            };
            header.msg_namelen = message.name_bytes;
            header.msg_iov = pieces.wrapping_add(message.first_piece);
            header.msg_iovlen = message.pieces;
            header.msg_control = match control_bytes {
                0 => ptr::null_mut(),
                _ => controls.wrapping_add(index).cast(),
            };
            header.msg_controllen = control_bytes;
            header.msg_flags = 0;
        }
    }
}

fn piece(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

/// Extends the last piece by `bytes` if they follow it in memory; returns whether they do.
#[inline]
fn prolong(last: Option<&mut libc::iovec>, bytes: &[u8]) -> bool {
    match last {
        Some(last)
            if last.iov_base.wrapping_byte_add(last.iov_len)
                == bytes.as_ptr().cast_mut().cast() =>
        {
            last.iov_len += bytes.len();
            true
        }
        _ => false,
    }
}
