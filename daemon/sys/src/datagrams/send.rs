//! The sending half: datagrams are gathered into messages, messages into as few calls as possible.
//!
//! Neighbours of one size to one peer from one address become one message that the kernel, or the
//! network card, cuts into datagrams again (`UDP_SEGMENT`); the last of them may be shorter.

use std::fmt;
use std::io;
use std::iter::Peekable;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::atomic::Ordering;

use super::control::{Control, SEND_BYTES};
use super::names::Name;
use super::{DatagramSocket, Family, LocalAddress, UDP_PAYLOAD_MAX, empty_headers};
use crate::address::PeerRef;

/// Messages in one call.
const MESSAGES: usize = 64;
/// Datagrams in one call, joined ones counted each.
const DATAGRAMS: usize = 1024;
/// Datagrams in one message: what every kernel that can segment takes.
const SEGMENTS: usize = 64;

/// A datagram to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// What it says; borrowed, never copied.
    pub bytes: &'a [u8],
    /// To whom; `None` for the one peer of a dialled socket.
    pub to: Option<PeerRef<'a>>,
    /// From which of our addresses: that which the request was sent to. `None` lets the kernel choose.
    pub from: Option<LocalAddress>,
}

/// How far a send went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendOutcome {
    /// How many datagrams, from the first, are done with: sent, or reported as failed.
    pub taken: usize,
    /// Why the others were not tried; `None` when all were taken.
    pub stopped: Option<Stop>,
}

impl SendOutcome {
    /// Whether some are left.
    #[must_use]
    pub fn blocked(&self) -> bool {
        self.stopped.is_some()
    }
}

/// Why a send stopped early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The socket is full: readiness to write will say when to go on.
    Full,
    /// The kernel is out of room somewhere else (`ENOBUFS`, `ENOMEM`): no readiness will tell; pause
    /// or drop.
    NoMemory,
}

/// Room for what a send gathers: one for each worker, for all its datagram sockets.
pub struct SendScratch {
    headers: Vec<libc::mmsghdr>,
    names: Vec<Name>,
    controls: Vec<Control<SEND_BYTES>>,
    iovecs: Vec<libc::iovec>,
    messages: Vec<Message>,
}

// SAFETY: between two sends no pointer in here is followed: each send writes all it uses anew.
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

/// One message: `count` datagrams from the `first_iovec` on.
#[derive(Debug, Clone, Copy)]
struct Message {
    /// The place of its first datagram among all of the send.
    first: usize,
    first_iovec: usize,
    count: usize,
    bytes: usize,
    /// The size of its datagrams; the last may be shorter, and then nothing follows it.
    segment: usize,
    closed: bool,
    name_bytes: u32,
    /// Control bytes that say the source; those of the segment size follow.
    source_bytes: usize,
}

impl Message {
    /// Whether `bytes` more make a datagram of this message, for the same peer and source.
    fn takes(&self, bytes: usize, join_limit: usize) -> bool {
        let fits = self.count < SEGMENTS && self.bytes + bytes <= UDP_PAYLOAD_MAX;
        let alike = bytes > 0 && bytes <= self.segment && self.segment <= join_limit;
        fits && alike && !self.closed
    }
}

impl SendScratch {
    /// Makes the room.
    #[must_use]
    pub fn new() -> Self {
        Self {
            headers: empty_headers(MESSAGES),
            names: vec![Name::EMPTY; MESSAGES],
            controls: vec![Control::EMPTY; MESSAGES],
            iovecs: Vec::with_capacity(DATAGRAMS),
            messages: Vec::with_capacity(MESSAGES),
        }
    }

    /// Gathers datagrams until the room or `outs` ends. `first` is the number of the next one.
    fn gather<'a>(
        &mut self,
        socket: &DatagramSocket,
        outs: &mut Peekable<impl Iterator<Item = Outgoing<'a>>>,
        first: usize,
    ) {
        self.iovecs.clear();
        self.messages.clear();
        let join_limit = socket.join_limit();
        let mut last = None;
        while self.iovecs.len() < DATAGRAMS {
            let Some(out) = outs.peek().copied() else {
                return;
            };
            let road = (out.to, out.from);
            let joins = last == Some(road)
                && self
                    .messages
                    .last()
                    .is_some_and(|open| open.takes(out.bytes.len(), join_limit));
            if !joins && self.messages.len() == MESSAGES {
                return;
            }
            let iovec = self.iovecs.len();
            if joins {
                self.join(out.bytes.len());
            } else {
                self.open(socket.family, &out, first + iovec);
            }
            let base = out.bytes.as_ptr().cast_mut().cast();
            self.iovecs.push(libc::iovec {
                iov_base: base,
                iov_len: out.bytes.len(),
            });
            last = Some(road);
            outs.next();
        }
    }

    fn join(&mut self, bytes: usize) {
        if let Some(open) = self.messages.last_mut() {
            open.count += 1;
            open.bytes += bytes;
            open.closed = bytes < open.segment;
        }
    }

    fn open(&mut self, family: Family, out: &Outgoing<'_>, first: usize) {
        let index = self.messages.len();
        let name_bytes = match (out.to, self.names.get_mut(index)) {
            (Some(peer), Some(name)) => name.write(peer, family),
            _ => 0,
        };
        let source_bytes = match (out.from, self.controls.get_mut(index)) {
            (Some(from), Some(control)) => control.write_source(from, family),
            _ => 0,
        };
        self.messages.push(Message {
            first,
            first_iovec: self.iovecs.len(),
            count: 1,
            bytes: out.bytes.len(),
            segment: out.bytes.len(),
            closed: false,
            name_bytes,
            source_bytes,
        });
    }

    /// Points the headers to what was gathered. From here to the end of the call no vector but
    /// `headers` is written.
    fn connect_headers(&mut self) {
        let Self {
            headers,
            names,
            controls,
            iovecs,
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
        let iovecs = iovecs.as_mut_ptr();
        let rows = messages.iter().zip(headers).zip(lengths).enumerate();
        for (index, ((message, header), control_bytes)) in rows {
            let header = &mut header.msg_hdr;
            header.msg_name = match message.name_bytes {
                0 => ptr::null_mut(),
                _ => names.wrapping_add(index).cast(),
            };
            header.msg_namelen = message.name_bytes;
            header.msg_iov = iovecs.wrapping_add(message.first_iovec);
            header.msg_iovlen = message.count;
            header.msg_control = match control_bytes {
                0 => ptr::null_mut(),
                _ => controls.wrapping_add(index).cast(),
            };
            header.msg_controllen = control_bytes;
            header.msg_flags = 0;
        }
    }
}

impl DatagramSocket {
    /// Sends `outs` in order, in as few calls as possible, without waiting.
    ///
    /// A datagram that fails for itself (too long, port 0, not allowed, refused) is told to
    /// `failed` with its number among `outs`, and the rest goes on. When the socket is full, what
    /// was taken is counted and the caller keeps the rest; `outs` may have been asked for more than
    /// was taken. An undialled Unix socket never stops for a full peer, which would hold up all
    /// others with no event to end it: that datagram fails with `EAGAIN`.
    pub fn send<'a>(
        &self,
        scratch: &mut SendScratch,
        outs: impl IntoIterator<Item = Outgoing<'a>>,
        mut failed: impl FnMut(usize, io::Error),
    ) -> SendOutcome {
        let mut outs = outs.into_iter().peekable();
        let mut taken = 0;
        loop {
            scratch.gather(self, &mut outs, taken);
            if scratch.messages.is_empty() {
                return SendOutcome {
                    taken,
                    stopped: None,
                };
            }
            scratch.connect_headers();
            if let Err((taken, stop)) = self.flush(scratch, &mut failed) {
                return SendOutcome {
                    taken,
                    stopped: Some(stop),
                };
            }
            taken += scratch.iovecs.len();
        }
    }

    /// Sends all that was gathered, or says how many datagrams of the send are done with and why.
    fn flush(
        &self,
        scratch: &mut SendScratch,
        failed: &mut impl FnMut(usize, io::Error),
    ) -> Result<(), (usize, Stop)> {
        let mut at = 0;
        while let Some(message) = scratch.messages.get(at).copied() {
            let Some(headers) = scratch.headers.get_mut(at..scratch.messages.len()) else {
                return Ok(());
            };
            match self.send_messages(headers) {
                Ok(count) => at += count.max(1),
                Err(error) => {
                    if let Some(stop) = self.stop(&error) {
                        return Err((message.first, stop));
                    }
                    if message.count > 1 {
                        self.send_apart(headers, message, &error, failed)?;
                    } else {
                        failed(message.first, error);
                    }
                    at += 1;
                }
            }
        }
        Ok(())
    }

    /// Sends the datagrams of a message that was refused as a whole, each for itself, and learns
    /// from it: if they can go alone, their size is not joined on this socket any more.
    fn send_apart(
        &self,
        headers: &mut [libc::mmsghdr],
        message: Message,
        refusal: &io::Error,
        failed: &mut impl FnMut(usize, io::Error),
    ) -> Result<(), (usize, Stop)> {
        let Some(header) = headers.first_mut() else {
            return Ok(());
        };
        let iovecs = header.msg_hdr.msg_iov;
        header.msg_hdr.msg_controllen = message.source_bytes;
        header.msg_hdr.msg_iovlen = 1;
        if message.source_bytes == 0 {
            header.msg_hdr.msg_control = ptr::null_mut();
        }
        for step in 0..message.count {
            header.msg_hdr.msg_iov = iovecs.wrapping_add(step);
            match self.send_messages(std::slice::from_mut(header)) {
                Ok(_) => self.learn(message.segment, refusal),
                Err(error) => match self.stop(&error) {
                    Some(stop) => return Err((message.first + step, stop)),
                    None => failed(message.first + step, error),
                },
            }
        }
        Ok(())
    }

    pub(super) fn learn(&self, segment: usize, refusal: &io::Error) {
        let limit = match refusal.raw_os_error() {
            // Longer than the path takes in one piece: alone it is fragmented.
            Some(libc::EINVAL | libc::EMSGSIZE) => segment.saturating_sub(1),
            // The device or the tunnel cannot do it at all.
            Some(libc::EIO | libc::EOPNOTSUPP | libc::ENOPROTOOPT) => 0,
            // Not about joining: an ICMP error that waited here, for instance.
            _ => return,
        };
        self.join_limit.fetch_min(limit, Ordering::Relaxed);
    }

    fn stop(&self, error: &io::Error) -> Option<Stop> {
        match error.raw_os_error() {
            Some(libc::EAGAIN) if self.family != Family::Unix || self.connected => Some(Stop::Full),
            Some(libc::ENOBUFS | libc::ENOMEM) => Some(Stop::NoMemory),
            _ => None,
        }
    }

    /// One call; how many messages went. The error is that of the first.
    fn send_messages(&self, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        loop {
            let count = libc::c_uint::try_from(headers.len()).unwrap_or(0);
            // SAFETY: `headers` were pointed by `connect_headers` into vectors of the scratch that
            // nobody has written to since, and the payloads are borrowed for longer than the send.
            let result =
                unsafe { libc::sendmmsg(self.as_raw_fd(), headers.as_mut_ptr(), count, flags) };
            if let Ok(count) = usize::try_from(result) {
                return Ok(count);
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
    }
}
