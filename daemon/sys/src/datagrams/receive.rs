//! The receiving half: one arena of slots, one call that fills many of them.

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;

use super::control::{self, Ancillary, Control, RECEIVE_BYTES};
use super::names::{self, NAME_BYTES, NAME_LENGTH, Name};
use super::{DatagramSocket, Family, LocalAddress, empty_headers};
use crate::address::PeerRef;

/// Gap between slots: without it the first bytes of all slots would map to one cache set.
const SLOT_STAGGER: usize = 128;

/// Receive buffers; each worker has one arena for all its datagram sockets.
///
/// The memory is reserved, not touched: a slot occupies as many pages as its largest datagram so far.
/// The kernel writes names, control bytes and payloads through the pointers in `headers`. This module
/// only reads them, through raw pointers, so that the kernel's pointers stay valid.
pub struct ReceiveArena {
    headers: Vec<libc::mmsghdr>,
    iovecs: Vec<libc::iovec>,
    names: Vec<Name>,
    controls: Vec<Control<RECEIVE_BYTES>>,
    payloads: Vec<u8>,
    slot_bytes: usize,
    stride: usize,
    /// The number of headers, from the first, that the last call may have changed.
    used: usize,
    /// Whether the unchanged headers offer room for control messages.
    offers_control: bool,
}

// SAFETY: the pointers lead into the vectors of the same value; a move of the value does not move
// their memory, and the pointers are not shared.
unsafe impl Send for ReceiveArena {}

impl ReceiveArena {
    /// An arena of `slots` messages (1 to 1024) of `slot_bytes` each. A coalesced message may have
    /// 64 KiB; 64 slots of that size were measured best.
    #[must_use]
    pub fn new(slots: usize, slot_bytes: usize) -> Self {
        let slots = slots.clamp(1, 1024);
        let stride = slot_bytes.next_multiple_of(64) + SLOT_STAGGER;
        let mut arena = Self {
            headers: empty_headers(slots),
            iovecs: vec![
                libc::iovec {
                    iov_base: ptr::null_mut(),
                    iov_len: slot_bytes
                };
                slots
            ],
            names: vec![Name::EMPTY; slots],
            controls: vec![Control::EMPTY; slots],
            payloads: vec![0; slots * stride],
            slot_bytes,
            stride,
            used: slots,
            offers_control: false,
        };
        arena.connect_headers();
        arena
    }

    fn connect_headers(&mut self) {
        let (names, controls) = (self.names.as_mut_ptr(), self.controls.as_mut_ptr());
        let payloads = self.payloads.as_mut_ptr();
        for (index, iovec) in self.iovecs.iter_mut().enumerate() {
            iovec.iov_base = payloads.wrapping_add(index * self.stride).cast();
        }
        let iovecs = self.iovecs.as_mut_ptr();
        for (index, header) in self.headers.iter_mut().enumerate() {
            header.msg_hdr.msg_name = names.wrapping_add(index).cast();
            header.msg_hdr.msg_iov = iovecs.wrapping_add(index);
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = controls.wrapping_add(index).cast();
        }
    }

    /// Restores the lengths in used headers: the kernel overwrites them.
    fn reset(&mut self, offer_control: bool) {
        if self.offers_control != offer_control {
            self.offers_control = offer_control;
            self.used = self.headers.len();
        }
        let control_bytes = if offer_control { RECEIVE_BYTES } else { 0 };
        for header in self.headers.iter_mut().take(self.used) {
            header.msg_hdr.msg_namelen = NAME_LENGTH;
            header.msg_hdr.msg_controllen = control_bytes;
            header.msg_hdr.msg_flags = 0;
        }
    }

    /// The message in slot `index`, if the last call filled it.
    fn train(&self, index: usize) -> Option<Train<'_>> {
        let header = self.headers.get(..self.used)?.get(index)?;
        let length = (header.msg_len as usize).min(self.slot_bytes);
        let named = (header.msg_hdr.msg_namelen as usize).min(NAME_BYTES);
        let controlled = header.msg_hdr.msg_controllen.min(RECEIVE_BYTES);
        let payload = self.payloads.as_ptr().wrapping_add(index * self.stride);
        let name = self.names.as_ptr().wrapping_add(index).cast::<u8>();
        let control = self.controls.as_ptr().wrapping_add(index).cast::<u8>();
        // SAFETY: `index` is below the number of slots, so `payload` is the first of `slot_bytes`
        // initialised bytes that live as long as the borrow of the arena, and no call of the kernel
        // can write to them while that borrow lasts (`receive` takes the arena mutably).
        let bytes = unsafe { slice::from_raw_parts(payload, length) };
        // SAFETY: likewise, `name` is the first of NAME_BYTES initialised bytes.
        let name = unsafe { slice::from_raw_parts(name, named) };
        // SAFETY: likewise, `control` is the first of RECEIVE_BYTES initialised bytes.
        let control = unsafe { slice::from_raw_parts(control, controlled) };
        Some(Train {
            bytes,
            from: names::read(name),
            ancillary: control::read(control),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        })
    }
}

impl fmt::Debug for ReceiveArena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots = self.headers.len();
        write!(
            f,
            "ReceiveArena({slots} slots of {} bytes)",
            self.slot_bytes
        )
    }
}

/// The result of one receive.
#[derive(Debug)]
pub enum ReceiveOutcome<'a> {
    /// At least one datagram.
    Datagrams(Received<'a>),
    /// The queue is empty: wait for readiness.
    Empty,
    /// An error about one peer, usually an ICMP refusal of a sent datagram: count it and receive
    /// again. The queue is unchanged.
    Refused(io::Error),
    /// The system is out of memory: pause, then receive again.
    Exhausted(io::Error),
    /// The socket is unusable: give it up.
    Broken(io::Error),
}

impl DatagramSocket {
    /// Receives up to as many messages as the arena has slots, in one call.
    pub fn receive<'a>(&self, arena: &'a mut ReceiveArena) -> ReceiveOutcome<'a> {
        // A Unix peer could attach descriptors: without room for them the kernel closes them.
        arena.reset(self.family != Family::Unix);
        let slots = arena.headers.len();
        let vector = libc::c_uint::try_from(slots).unwrap_or(0);
        loop {
            let headers = arena.headers.as_mut_ptr();
            // SAFETY: `headers` is `slots` headers whose pointers and lengths describe the arena's own
            // vectors; the arena is borrowed mutably during the call.
            let result = unsafe {
                libc::recvmmsg(
                    self.as_raw_fd(),
                    headers,
                    vector,
                    libc::MSG_DONTWAIT,
                    ptr::null_mut(),
                )
            };
            if let Ok(count) = usize::try_from(result) {
                arena.used = count.min(slots);
                return ReceiveOutcome::Datagrams(Received::new(arena));
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                // No message was received; the first header may have been changed.
                arena.used = 1;
                return failure(error);
            }
        }
    }
}

fn failure<'a>(error: io::Error) -> ReceiveOutcome<'a> {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => ReceiveOutcome::Empty,
        Some(libc::ENOBUFS | libc::ENOMEM) => ReceiveOutcome::Exhausted(error),
        Some(libc::EBADF | libc::ENOTSOCK | libc::EFAULT | libc::EINVAL | libc::ENOSYS) | None => {
            ReceiveOutcome::Broken(error)
        }
        Some(_) => ReceiveOutcome::Refused(error),
    }
}

/// The datagrams of one receive, borrowed from the arena until the next one.
#[derive(Debug, Clone, Copy)]
pub struct Received<'a> {
    arena: &'a ReceiveArena,
    messages: usize,
}

impl<'a> Received<'a> {
    fn new(arena: &'a ReceiveArena) -> Self {
        Self {
            arena,
            messages: arena.used,
        }
    }

    /// The received messages in order of arrival, coalesced datagrams still together.
    #[must_use]
    pub fn trains(&self) -> Trains<'a> {
        Trains {
            arena: self.arena,
            next: 0,
        }
    }

    /// The number of datagrams that this socket has dropped because its queue was full (wraps at
    /// 2^32), as of the time when the last datagram here was queued; `None`: none.
    #[must_use]
    pub fn kernel_drops(&self) -> Option<u32> {
        self.arena
            .train(self.messages.checked_sub(1)?)?
            .ancillary
            .drops
    }

    /// Whether the queue was empty after this receive. With edge-triggered readiness the next datagram
    /// then gives an event, and no further receive is needed.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.messages < self.arena.headers.len()
    }
}

/// One received message: a datagram, or several of one sender that the kernel coalesced (GRO).
#[derive(Debug, Clone, Copy)]
pub struct Train<'a> {
    bytes: &'a [u8],
    /// The sender.
    pub from: PeerRef<'a>,
    ancillary: Ancillary,
    /// Its last datagram was longer than the slot; the rest of that datagram is lost.
    pub truncated: bool,
}

impl<'a> Train<'a> {
    /// The local address that it was sent to; known only for sockets bound to a wildcard address.
    #[must_use]
    pub fn to(&self) -> Option<LocalAddress> {
        self.ancillary.to
    }

    /// Its datagrams; at least one.
    #[must_use]
    pub fn pieces(&self) -> Pieces<'a> {
        let segment = match self.ancillary.segment {
            0 => usize::MAX,
            segment => segment,
        };
        Pieces {
            rest: Some(self.bytes),
            segment,
            truncated: self.truncated,
        }
    }
}

/// The trains of one receive.
#[derive(Debug, Clone)]
pub struct Trains<'a> {
    arena: &'a ReceiveArena,
    next: usize,
}

impl<'a> Iterator for Trains<'a> {
    type Item = Train<'a>;

    fn next(&mut self) -> Option<Train<'a>> {
        let train = self.arena.train(self.next)?;
        self.next += 1;
        Some(train)
    }
}

/// One datagram of a train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The payload.
    pub bytes: &'a [u8],
    /// The datagram was longer than the slot.
    pub truncated: bool,
}

/// The datagrams of a train.
#[derive(Debug, Clone)]
pub struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    segment: usize,
    truncated: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    #[inline]
    fn next(&mut self) -> Option<Piece<'a>> {
        let rest = self.rest?;
        match rest.split_at_checked(self.segment) {
            Some((bytes, others)) if !others.is_empty() => {
                self.rest = Some(others);
                Some(Piece {
                    bytes,
                    truncated: false,
                })
            }
            _ => {
                self.rest = None;
                Some(Piece {
                    bytes: rest,
                    truncated: self.truncated,
                })
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self
            .rest
            .map_or(0, |rest| rest.len().div_ceil(self.segment).max(1));
        (left, Some(left))
    }
}
